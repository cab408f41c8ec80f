-- 肥西县公安局 · 实有人口 (MariaDB, English names)
CREATE OR REPLACE DATABASE pop CHARACTER SET utf8mb4;
CREATE TABLE pop.resident (
    resident_id bigint PRIMARY KEY, id_no varchar(18) NOT NULL, full_name varchar(60), gender char(1), birthday date, nation char(2),
    alive tinyint(1) NOT NULL, area_code char(6), address varchar(200), moved_in date, phone varchar(20));
