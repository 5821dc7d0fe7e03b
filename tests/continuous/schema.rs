//! What the sequences are about: tables, aggregates over them, queries that these may answer, and
//! the same in PostgreSQL's words.

/// How the rows are a time series.
const OPTIONS: &str = "with (tsdb.hypertable, tsdb.partition_column = 'ts', tsdb.segmentby = 'k')";
const COLUMNS: &str =
    "k bigint, ts timestamptz not null, a int, x numeric(10,2), s text, id bigint";

/// The tables: rows, what they refer to, and the rows that retention has dropped, with the number of
/// its run.
pub(super) const NAMES: [&str; 3] = ["facts", "gone", "places"];

/// Makes the tables anew.
pub(super) fn tables() -> String {
    format!(
        "drop table if exists facts cascade; drop table if exists gone; drop table if exists places;
         create table facts ({COLUMNS}) {OPTIONS};
         create table gone ({COLUMNS}, run int);
         create table places (id bigint primary key, region text, zone text);
         insert into places values (1, 'north', 'UTC'), (2, 'south', 'Australia/Lord_Howe'), (3, 'north', null)"
    )
}

/// The same for PostgreSQL, without rows.
pub(super) fn tables_in_postgres() -> String {
    let tables = tables().replace(OPTIONS, "");
    tables + "; truncate places"
}

/// An aggregate. `{facts}` stands in its query for the rows, `{hourly}` for the aggregate of that name.
#[derive(Debug, PartialEq)]
pub(super) struct Aggregate {
    pub(super) name: &'static str,
    query: &'static str,
}

/// It reads from another, which is the first of them.
pub(super) const OVER_HOURS: &str = "over_hours";

/// Sums of floats differ in their last digits with the order of the rows, so there are none. What
/// is first and last is told by `id`, which only equal rows have in common.
pub(super) static AGGREGATES: [Aggregate; 8] = [
    Aggregate {
        name: "hourly",
        query: "select time_bucket('1 hour', f.ts) as bucket, f.k, count(*) as n, count(f.a) as known, sum(f.a) as sum, \
                  avg(f.a) as mean, min(f.a) as least, max(f.x) as most, sum(f.x) as total, count(distinct f.s) as kinds, \
                  bool_and(f.a > 0) as positive, bool_or(f.s = 'b') as has_b \
                from {facts} f group by 1, 2",
    },
    Aggregate {
        name: "daily",
        query: "select f.k as who, f.s, time_bucket('1 day', f.ts, 'Europe/Berlin') as day, count(*) as n, \
                  avg(f.x) as mean, sum(f.a) filter (where f.x > 5) as part, \
                  round(stddev(f.a)::numeric, 6) as deviation \
                from {facts} f where f.a is distinct from 7 group by f.k, f.s, day",
    },
    Aggregate {
        name: "platform",
        query: "select time_bucket('15 minutes', f.ts) as bucket, count(*) as n, max(f.ts) as newest, min(f.s) as least, \
                  sum(f.a * 2 + 1) as odd, count(f.id) as known, sum(f.id) as ids \
                from {facts} f group by 1",
    },
    Aggregate {
        name: "frequent",
        query: "select f.k, time_bucket('1 month', f.ts) as month, count(*) + 1 as n, sum(f.x) / count(*) as mean \
                from {facts} f where f.s <> 'c' group by 1, 2 having count(*) > 3",
    },
    Aggregate {
        name: "ends",
        query: "select time_bucket('6 hours', f.ts, \"offset\" => interval '90 minutes') as bucket, f.k % 2 as parity, \
                  first(f.ts, f.ts) as oldest, last(f.ts, f.ts) as newest, first(f.a, f.id) as opened, \
                  last(f.x, f.id) as closed \
                from {facts} f group by 1, 2",
    },
    Aggregate {
        name: "placed",
        query: "select time_bucket('3 hours', f.ts) as bucket, coalesce(p.region, f.s) as region, count(*) as n, \
                  sum(f.x) as total, count(*) filter (where p.id is not null and f.a > 3) as matched, \
                  max(f.a) filter (where p.region = 'north') as most \
                from {facts} f left join places p on p.id = f.k where f.a is not null group by 1, 2",
    },
    Aggregate {
        name: "own_days",
        query: "select time_bucket('1 day', f.ts, p.zone) as day, p.region, count(*) as n, sum(f.a) as sum, \
                  count(distinct f.s) as kinds \
                from {facts} f join places p on f.k = p.id and f.s <> 'b' group by 1, 2",
    },
    Aggregate {
        name: OVER_HOURS,
        query: "select time_bucket('1 day', h.bucket) as day, p.region, sum(h.n) as n, sum(h.total) as total, \
                  min(h.least) as least, max(h.most) as most, bool_and(h.positive) as positive, count(distinct h.k) as keys \
                from {hourly} h left join places p on p.id = h.k group by 1, 2",
    },
];

/// The column that aggregates over the table may be given later.
const ADDED: &str = "min(f.a)";

/// Queries over the table, which may be answered from an aggregate. Over a subquery they are not.
pub(super) const QUERIES: [&str; 12] = [
    "select time_bucket('1 day', f.ts) as day, f.k % 3 as rest, count(*) as n, sum(f.a), avg(f.a), max(f.x), count(distinct f.s) \
     from {facts} f where {times} group by 1, 2",
    "select date_trunc('hour', f.ts) as hour, count(*) as n, sum(f.x) filter (where f.k > 2) as part from {facts} f group by 1",
    "select sum(f.a), bool_or(f.s = 'b'), min(f.a), count(*) as n from {facts} f where f.k = 3 and {times}",
    "select count(*) as n, max(f.ts), min(f.s) from {facts} f where {times} and f.ts <= to_timestamp(1714051248)",
    "select f.k, count(*) + 1 as n from {facts} f where f.s <> 'c' and {times} group by f.k having sum(f.x) > 3",
    "select f.k % 2 as parity, first(f.ts, f.ts), last(f.ts, f.ts) from {facts} f where f.k % 2 = 1 and {times} group by 1",
    "select f.k, f.s, time_bucket('2 days', f.ts, 'Europe/Berlin') as days, count(*) as n, sum(f.a) filter (where f.x > 5) as part \
     from {facts} f where (f.a is distinct from 7) and {times} group by 1, 2, 3",
    "select date_trunc('hour', f.ts) as hour, avg(f.id), count(f.ts) as n from {facts} f where {times} group by 1",
    "select f.k, time_bucket('2 days', f.ts, 'Europe/Berlin') as days, count(f.x) as known, sum(f.x), count(f.ts) as n, \
       round(var_pop(f.a)::numeric, 6) from {facts} f where f.a is distinct from 7 group by 1, 2",
    "select p.region, time_bucket('1 day', f.ts) as day, count(*) as n, sum(f.a), avg(f.a), \
       count(*) filter (where f.k > 1 and p.zone is not null) as zoned \
     from {facts} f left join places p on p.id = f.k where {times} group by 1, 2",
    "select time_bucket('1 day', f.ts, p.zone) as day, p.region, count(*) as n, sum(f.a) \
     from {facts} f join places p on f.k = p.id and f.s <> 'b' group by 1, 2",
    "select coalesce(p.region, f.s) as region, sum(f.x), count(*) as n \
     from {facts} f left join places p on p.id = f.k where f.a is not null and p.region is distinct from 'south' group by 1",
];

/// Queries over the groups of the first aggregate. Over a subquery with OFFSET these are made first.
pub(super) const GROUP_QUERIES: [&str; 5] = [
    "select sum(n), sum(total), min(least), max(most), bool_or(has_b), count(distinct k) from {groups} g",
    "select time_bucket('1 day', g.bucket) as day, p.region, sum(g.n) as n, sum(g.sum), max(g.bucket) \
     from {groups} g join places p on p.id = g.k where g.k > 1 group by 1, 2",
    "select k % 2 as parity, sum(total) / sum(n) as mean, sum(n) filter (where k > 2) as part from {groups} g group by 1",
    "select g.k, p.zone, sum(g.known), bool_and(g.positive) from {groups} g left join places p on p.id = g.k \
     where p.region is null or g.k = 2 group by 1, 2",
    "select sum(kinds), max(mean), count(*) as n from {groups} g where n > 1",
];

impl Aggregate {
    /// Its query over `facts`, with or without the column that was added.
    pub(super) fn query(&self, facts: &str, has_added: bool) -> String {
        let query = match has_added {
            true => self
                .query
                .replacen(" from {", &format!(", {ADDED} as added from {{"), 1),
            false => self.query.to_owned(),
        };
        query
            .replace("{facts}", facts)
            .replace("{hourly}", AGGREGATES[0].name)
    }

    /// The statement that makes it.
    pub(super) fn create(&self) -> String {
        let (name, query) = (self.name, self.query("facts", false));
        format!("create materialized view {name} with (timescaledb.continuous) as {query}")
    }

    /// The statement that makes it unless it is there.
    pub(super) fn create_if_not_exists(&self) -> String {
        self.create().replacen("view", "view if not exists", 1)
    }

    /// The statement that adds a column.
    pub(super) fn add_column(&self) -> String {
        let (name, added) = (self.name, ADDED.replace("f.", ""));
        format!(
            "alter materialized view {name} add column added int generated always as ({added}) stored"
        )
    }

    /// Whether it reads another aggregate.
    pub(super) fn is_above(&self) -> bool {
        self.query.contains("{hourly}")
    }
}

/// The rows that an aggregate stands for that was made after so many runs of retention.
pub(super) fn rows_since(runs: u32) -> String {
    let columns = "k, ts, a, x, s, id";
    format!("(select {columns} from facts union all select {columns} from gone where run > {runs})")
}

/// What PostgreSQL has no word for, and how it says the same. Our quotients of numerics have six digits.
const WORDS: [(&str, &str); 15] = [
    (
        "time_bucket('1 hour', f.ts)",
        "date_bin('1 hour', f.ts, 'epoch')",
    ),
    (
        "time_bucket('15 minutes', f.ts)",
        "date_bin('15 minutes', f.ts, 'epoch')",
    ),
    (
        "time_bucket('3 hours', f.ts)",
        "date_bin('3 hours', f.ts, 'epoch')",
    ),
    (
        "time_bucket('6 hours', f.ts, \"offset\" => interval '90 minutes')",
        "date_bin('6 hours', f.ts, timestamptz '2000-01-01 01:30+00')",
    ),
    (
        "time_bucket('1 day', h.bucket)",
        "date_trunc('day', h.bucket, 'UTC')",
    ),
    (
        "time_bucket('1 day', f.ts, 'Europe/Berlin')",
        "date_trunc('day', f.ts, 'Europe/Berlin')",
    ),
    (
        "time_bucket('1 day', f.ts, p.zone)",
        "date_trunc('day', f.ts, p.zone)",
    ),
    (
        "time_bucket('1 month', f.ts)",
        "date_trunc('month', f.ts, 'UTC')",
    ),
    ("first(f.ts, f.ts)", "(array_agg(f.ts order by f.ts))[1]"),
    (
        "last(f.ts, f.ts)",
        "(array_agg(f.ts order by f.ts desc))[1]",
    ),
    ("first(f.a, f.id)", "(array_agg(f.a order by f.id))[1]"),
    ("last(f.x, f.id)", "(array_agg(f.x order by f.id desc))[1]"),
    ("avg(f.a)", "avg(f.a)::float8"),
    ("avg(f.x)", "trunc(avg(f.x), 6)"),
    ("sum(f.x) / count(*)", "trunc(sum(f.x) / count(*), 6)"),
];

/// A query of [`Aggregate::query`] in PostgreSQL's words. `hourly` is there what its own query answers.
pub(super) fn in_postgres(query: &str, hourly: &str) -> String {
    let from = format!("from {} h", AGGREGATES[0].name);
    let mut query = query.replace(&from, &format!("from ({hourly}) h"));
    for (ours, theirs) in WORDS {
        query = query.replace(ours, theirs);
    }
    assert!(!query.contains("time_bucket"), "{query}");
    query
}
