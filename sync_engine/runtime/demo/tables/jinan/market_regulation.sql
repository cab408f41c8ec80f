-- 金安区市场监督管理局 · 企业登记 (former 工商), 组织机构代码 (former 质监) (MariaDB)
CREATE OR REPLACE DATABASE scjg CHARACTER SET utf8mb4;
CREATE TABLE scjg.qy_jbxx (
    pripid varchar(36) PRIMARY KEY, uniscid varchar(18) NOT NULL, entname varchar(120), lerep varchar(60), cerno varchar(18),
    dom varchar(200), domdistrict char(6), regcap decimal(18,6), regstate char(1), estdate date, apprdate date);
CREATE TABLE scjg.zzjgdm (id bigint PRIMARY KEY, tyshxydm varchar(18) NOT NULL, jgdm char(9), jgmc varchar(120), jgdz varchar(200));
