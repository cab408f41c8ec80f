-- 金安区民政局 · 婚姻登记, 社会救助, 社会组织 (MariaDB)
CREATE OR REPLACE DATABASE mz CHARACTER SET utf8mb4;
CREATE TABLE mz.hydj_jl (
    jlbh bigint PRIMARY KEY, nan_sfz varchar(18) NOT NULL, nan_xm varchar(60), nv_sfz varchar(18) NOT NULL, nv_xm varchar(60),
    djlx char(1) NOT NULL, djrq date NOT NULL);
CREATE TABLE mz.shjz (jzbh bigint PRIMARY KEY, sfzh varchar(18) NOT NULL, xm varchar(60), jzlb varchar(4), ksrq date);
CREATE TABLE mz.shzz (
    zzbh bigint PRIMARY KEY, tyshxydm varchar(18) NOT NULL, zzmc varchar(120), fddbr varchar(60), fddbr_sfz varchar(18), zs varchar(200),
    xzqh char(6), djzt char(1), djrq date);
