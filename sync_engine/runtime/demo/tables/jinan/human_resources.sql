-- 金安区人力资源和社会保障局 · 社会保险系统 (numbered fields of the national social insurance standard)
CREATE SCHEMA si;
CREATE TABLE si.ac01 (
    aac001 bigint PRIMARY KEY, aac002 varchar(18) NOT NULL, aac003 varchar(60), aac004 char(1), aac006 date, aae005 varchar(20),
    aab004 varchar(120), aac008 char(1), aac049 date, aac016 char(1), aae036 timestamptz DEFAULT now());
CREATE TABLE si.ab01 (
    aab001 bigint PRIMARY KEY, aab998 varchar(18) NOT NULL, aab004 varchar(120), aab051 char(1), aab050 date,
    aae036 timestamptz DEFAULT now());
