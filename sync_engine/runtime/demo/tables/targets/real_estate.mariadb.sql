-- 金安区不动产登记系统 (MariaDB). Keys have a binary collation: they are compared as they are.
CREATE OR REPLACE DATABASE bdc CHARACTER SET utf8mb4;
CREATE TABLE bdc.parcel (
    parcel_code varchar(19) COLLATE utf8mb4_bin PRIMARY KEY, sync_version bigint NOT NULL, sync_state varchar(20) NOT NULL,
    tdyt varchar(4), mj decimal(15,2), ghyt varchar(20));
CREATE TABLE bdc.building (
    building_number varchar(24) COLLATE utf8mb4_bin PRIMARY KEY, sync_version bigint NOT NULL, sync_state varchar(20) NOT NULL,
    jzwmc varchar(120), zddm varchar(19), cs integer, mj decimal(15,2));
