-- 金安区政务数据前置库: what 卫健, 编办, 国税, 地税, 国土, 规划 and 建设 put there for exchange
CREATE SCHEMA sync;
CREATE SCHEMA wj;
CREATE TABLE wj.csyxzm (zmbh varchar(10) PRIMARY KEY, sfzh varchar(18) NOT NULL, xm varchar(60), xb char(1), csrq date);
CREATE TABLE wj.swzm (zmbh varchar(10) PRIMARY KEY, sfzh varchar(18) NOT NULL, xm varchar(60), swrq date, zt char(1) NOT NULL);
CREATE SCHEMA bb;
CREATE TABLE bb.jgsydw (
    bh integer PRIMARY KEY, tyshxydm varchar(18) NOT NULL, dwmc varchar(120), fddbr varchar(60), fddbr_sfz varchar(18), dz varchar(200),
    xzqh char(6), zt varchar(10), slrq date);
CREATE SCHEMA gs;
CREATE TABLE gs.nsr (
    djxh bigint PRIMARY KEY, shxydm varchar(18) NOT NULL, nsrmc varchar(120), nsrsbh varchar(20), nsrzt char(2), scjydz varchar(200));
CREATE SCHEMA ds;
CREATE TABLE ds.nsrxx (id bigint PRIMARY KEY, xydm varchar(18) NOT NULL, mc varchar(120), sbh varchar(20), zt varchar(10), dz varchar(200));
CREATE SCHEMA gt;
CREATE TABLE gt.zd (zddm char(19) PRIMARY KEY, zdyt char(4), zdmj numeric(15,2), zl varchar(200), qhdm char(6));
CREATE SCHEMA gh;
CREATE TABLE gh.ydgh (xmbh varchar(20) PRIMARY KEY, zddm varchar(19) NOT NULL, ghyt varchar(20), tdyt varchar(4), rjl numeric(5,2), pzrq date);
CREATE SCHEMA js;
CREATE TABLE js.jzw (
    jzwbh varchar(24) PRIMARY KEY, jzwmc varchar(120), zddm varchar(19) NOT NULL, dscs smallint, jzmj numeric(15,2), jgrq date, qhdm char(6));
CREATE TABLE js.sgxk (xkzh varchar(20) PRIMARY KEY, zddm varchar(19) NOT NULL, yt varchar(4));
