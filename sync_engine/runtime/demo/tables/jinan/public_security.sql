-- 金安区公安分局 · 户籍管理系统 (names by pinyin initials)
CREATE SCHEMA hj;
CREATE TABLE hj.t_czrk (
    rybh bigint PRIMARY KEY, gmsfhm varchar(18) NOT NULL, xm varchar(60), xb char(1), csrq date, mz varchar(20),
    swbz char(1) NOT NULL DEFAULT '0', hyzk char(2), hjqh char(6), hjdz text, qrrq date, lxdh varchar(20), djsj timestamptz DEFAULT now());
