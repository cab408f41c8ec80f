-- 安徽省教育厅 · 学历信息
CREATE SCHEMA edu;
CREATE TABLE edu.graduate (certificate_no varchar(20) PRIMARY KEY, id_card varchar(18) NOT NULL, level varchar(20), graduated_on date);
