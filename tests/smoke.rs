//! The main job in small.

use crate::server::{Server, check};

const ORDERS: &str = "CREATE TABLE orders (merchant_id bigint, ts timestamptz, gross double precision, channel text)
    WITH (tsdb.hypertable, tsdb.partition_column='ts', tsdb.segmentby='merchant_id', tsdb.chunk_interval='1 hour');";

#[test]
fn rows_copied_in_are_there_after_a_kill() {
    let server = Server::start();
    let said = server.psql(&format!(
        "{ORDERS}
COPY orders FROM STDIN (FORMAT csv);
42,2024-05-01 10:00:00+00,12.5,app
42,2024-05-01 10:20:00+00,7.25,web
7,2024-05-01 11:00:00+00,30,pos
\\.
"
    ));
    assert_eq!(said, "");
    let (is_checked, said) = check(&server.data_dir());
    assert!(
        !is_checked && said.contains("is in use by another process"),
        "{said}"
    );
    server.kill();
    let server = Server::start_in(server.dir(), &[], &[]);
    let said = server.psql(
        "\\pset format unaligned
        SELECT merchant_id, count(*), sum(gross) FROM orders GROUP BY 1 ORDER BY 1;
        SELECT time_bucket('1 hour', ts) AS hour, sum(gross) FROM orders WHERE merchant_id = 42 GROUP BY 1;",
    );
    assert_eq!(
        said,
        "merchant_id|count|sum\n7|1|30\n42|2|19.75\n(2 rows)\nhour|sum\n2024-05-01 10:00:00+00|19.75\n(1 row)\n"
    );
    server.terminate();
    server.wait();
    let (is_well, said) = check(&server.data_dir());
    assert!(is_well, "{said}");
}
