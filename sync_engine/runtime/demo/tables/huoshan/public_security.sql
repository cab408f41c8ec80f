-- 霍山县公安局 · 人口信息
CREATE SCHEMA ga;
CREATE TABLE ga.rkxx (
    id bigint PRIMARY KEY, sfzh varchar(18) NOT NULL, xingming varchar(60), xingbie varchar(4), chusheng date, minzu char(2),
    zhuangtai varchar(8) NOT NULL, huji_qh char(6), huji_dz varchar(200), qianru date, shouji varchar(20));
