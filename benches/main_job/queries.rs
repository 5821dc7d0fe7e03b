//! The questions and how long their answers take, on one connection.

use std::time::{Duration, Instant, SystemTime};

use crate::Result;
use crate::figures::Figure;
use crate::load::{Orders, Target};
use crate::times::{median, milliseconds, percentile};

/// One merchant's week by hour, from the raw rows.
const MERCHANT_WEEK: &str = "\
    SELECT date_trunc('hour', ts) AS hour, count(*) AS orders, sum(gross - discount) AS revenue \
    FROM orders WHERE merchant_id = $1 AND ts >= $2 AND ts < $3 GROUP BY 1 ORDER BY 1";

const REVENUE_BY_DAY: &str = "\
    SELECT date_trunc('day', ts) AS day, sum(gross - discount) AS revenue \
    FROM orders GROUP BY 1 ORDER BY 1";

const COUNT: &str = "SELECT count(*) FROM orders";

const MERCHANT_RUNS: i64 = 1_000;
const WARM_UP_RUNS: usize = 50;
const WHOLE_TABLE_RUNS: usize = 7;

/// Asks everything.
pub(crate) async fn measure(target: &Target, orders: &Orders) -> Result<Vec<(Figure, String)>> {
    let mut client = target.connect().await?;

    let week = orders.week();
    let time = |minute: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(minute as u64 * 60);
    let (from, until) = (time(week.start), time(week.end));
    let merchant_week = client.prepare(MERCHANT_WEEK).await?;
    let runs = MERCHANT_RUNS + WARM_UP_RUNS as i64;
    let mut figures = Vec::new();
    for (figure, picked) in [
        (Figure::MerchantWeek, orders.merchants_by_rows(runs)),
        (Figure::AnyMerchantWeek, orders.merchants_of_all(runs)),
    ] {
        let mut merchant_ms = Vec::new();
        for merchant in picked {
            let begun = Instant::now();
            let rows = client
                .query(&merchant_week, &[&merchant, &from, &until])
                .await?;
            merchant_ms.push(milliseconds(begun));
            if rows.is_empty() && figure == Figure::MerchantWeek {
                return Err(format!("merchant {merchant} has orders, none was found").into());
            }
        }
        let ms = merchant_ms.split_off(WARM_UP_RUNS);
        let (half, most) = (median(&ms), percentile(&ms, 0.99));
        let text = format!("{half:.2} ms / {most:.2} ms");
        figures.push((figure, text));
    }

    for (figure, sql) in [
        (Figure::RevenueByDay, REVENUE_BY_DAY),
        (Figure::Count, COUNT),
    ] {
        let median = median_ms(&mut client, sql).await?;
        let rate = orders.rows() as f64 / median / 1e3;
        figures.push((figure, format!("{median:.1} ms ({rate:.1} M rows/s)")));
    }
    Ok(figures)
}

async fn median_ms(client: &mut tokio_postgres::Client, sql: &str) -> Result<f64> {
    let mut runs = Vec::new();
    for _ in 0..WHOLE_TABLE_RUNS {
        let begun = Instant::now();
        client.query(sql, &[]).await?;
        runs.push(milliseconds(begun));
    }
    Ok(median(&runs))
}
