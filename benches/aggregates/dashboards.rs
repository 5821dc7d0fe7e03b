//! What is asked of the aggregate, and of the rows instead of it.

use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::Result;
use crate::figures::Figure;
use crate::load::{Orders, Target};
use crate::times::{median, milliseconds, percentile};

const MERCHANT_WEEK: &str = "SELECT bucket, orders, revenue FROM hourly \
    WHERE merchant_id = $1 AND bucket >= $2 AND bucket < $3 ORDER BY bucket";

const REVENUE_BY_DAY: &str =
    "SELECT date_trunc('day', ts) AS day, sum(gross) FROM orders GROUP BY 1 ORDER BY 1";

const REVENUE_BY_DAY_OF_GROUPS: &str =
    "SELECT date_trunc('day', bucket) AS day, sum(revenue) FROM hourly GROUP BY 1 ORDER BY 1";

/// What an answer from an aggregate reads, in `EXPLAIN`.
const PARTIALS: &str = "PartialsScan";

const RUNS: usize = 5_000;
const WARM_UP_RUNS: usize = 200;
const CONNECTIONS: usize = 16;
const WHOLE_TABLE_RUNS: usize = 7;

/// The week of one merchant after the other.
#[derive(Clone)]
struct Weeks {
    merchants: Vec<i64>,
    from: SystemTime,
    until: SystemTime,
}

impl Weeks {
    /// Asks for all, and tells how many milliseconds each took.
    async fn ask(&self, client: &Client) -> Result<Vec<f64>> {
        let statement = client.prepare(MERCHANT_WEEK).await?;
        let mut ms = Vec::new();
        for merchant in &self.merchants {
            let begun = Instant::now();
            let rows = client
                .query(&statement, &[merchant, &self.from, &self.until])
                .await?;
            ms.push(milliseconds(begun));
            if rows.is_empty() {
                return Err(format!("merchant {merchant} has orders, none was found").into());
            }
        }
        Ok(ms)
    }
}

fn p50_p99(ms: &[f64]) -> String {
    format!("{:.2} ms / {:.2} ms", median(ms), percentile(ms, 0.99))
}

/// Weeks of merchants, of all alike, on one connection and on many.
pub(crate) async fn measure(target: &Target, orders: &Orders) -> Result<Vec<(Figure, String)>> {
    let week = orders.week();
    let time = |minute: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(minute as u64 * 60);
    let merchants = orders.merchants_of_all((WARM_UP_RUNS + RUNS) as i64);
    let weeks = Weeks {
        merchants,
        from: time(week.start),
        until: time(week.end),
    };
    let ms = weeks.ask(&target.connect().await?).await?;
    let one = p50_p99(&ms[WARM_UP_RUNS..]);

    let mut clients = Vec::new();
    for merchants in weeks.merchants.chunks(weeks.merchants.len() / CONNECTIONS) {
        let (client, mut weeks) = (target.connect().await?, weeks.clone());
        weeks.merchants = merchants.repeat(4);
        clients.push((client, weeks));
    }
    let begun = Instant::now();
    let mut workers = JoinSet::new();
    for (client, weeks) in clients {
        workers.spawn(async move { weeks.ask(&client).await });
    }
    let mut ms = Vec::new();
    while let Some(worker) = workers.join_next().await {
        ms.extend(worker??);
    }
    let rate = ms.len() as f64 / begun.elapsed().as_secs_f64();
    let many = format!("{rate:.0} queries/s, {}", p50_p99(&ms));
    Ok(vec![
        (Figure::MerchantWeek, one),
        (Figure::MerchantWeeks, many),
    ])
}

async fn median_text(client: &Client, sql: &str, orders: &Orders) -> Result<String> {
    let mut ms = Vec::new();
    for _ in 0..WHOLE_TABLE_RUNS {
        let begun = Instant::now();
        client.simple_query(sql).await?;
        ms.push(milliseconds(begun));
    }
    let median = median(&ms);
    let rate = orders.rows() as f64 / median / 1e3;
    Ok(format!("{median:.0} ms ({rate:.0} M rows/s)"))
}

/// One question twice: answered from the rows, and from the aggregate, which the server finds itself.
pub(crate) async fn revenue_by_day(
    target: &Target,
    orders: &Orders,
) -> Result<Vec<(Figure, String)>> {
    let client = target.connect().await?;
    let mut figures = Vec::new();
    for (figure, setting) in [
        (Figure::RevenueByDayOfRows, "off"),
        (Figure::RevenueByDayOfGroups, "on"),
    ] {
        let set = format!("SET slicedb.use_aggregates = {setting}");
        client.batch_execute(&set).await?;
        let explain = format!("EXPLAIN {REVENUE_BY_DAY}");
        let plan = client.simple_query(&explain).await?;
        let reads_partials = plan.iter().any(|message| match message {
            SimpleQueryMessage::Row(line) => {
                line.get(0).is_some_and(|line| line.contains(PARTIALS))
            }
            _ => false,
        });
        if reads_partials != (setting == "on") {
            return Err(format!("use_aggregates = {setting} is not what is planned").into());
        }
        figures.push((figure, median_text(&client, REVENUE_BY_DAY, orders).await?));
    }
    Ok(figures)
}

/// The same from PostgreSQL's table and from its view.
pub(crate) async fn revenue_by_day_in_postgres(
    target: &Target,
    orders: &Orders,
) -> Result<Vec<(Figure, String)>> {
    let client = target.connect().await?;
    let mut figures = Vec::new();
    for (figure, sql) in [
        (Figure::RevenueByDayOfRows, REVENUE_BY_DAY),
        (Figure::RevenueByDayOfGroups, REVENUE_BY_DAY_OF_GROUPS),
    ] {
        figures.push((figure, median_text(&client, sql, orders).await?));
    }
    Ok(figures)
}
