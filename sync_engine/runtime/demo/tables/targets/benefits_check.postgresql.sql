-- 六安市社会保险待遇核查系统 (PostgreSQL)
CREATE SCHEMA shared;
CREATE TABLE shared.person (
    id_number varchar(18) PRIMARY KEY, sync_version bigint NOT NULL, sync_state varchar(20) NOT NULL,
    xm varchar(60), swzt varchar(20), swrq date, hyzk varchar(4), jzlb varchar(4));
