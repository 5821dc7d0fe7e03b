//! Three questions worth asking, with their answers and how long they took.
//!
//! They are plain Postgres SQL, to be pasted into psql as printed.

use std::time::Instant;

use tokio_postgres::{Client, SimpleQueryMessage};

use super::client::{DemoError, say};

const QUESTIONS: [(&str, &str); 3] = [
    (
        "What does the whole platform take in, day by day?",
        "SELECT date_trunc('day', ts) AS day, count(*) AS orders,
       sum(gross - discount)::numeric(14, 2) AS revenue
FROM orders
GROUP BY 1 ORDER BY 1 DESC LIMIT 7;",
    ),
    (
        "How did the biggest merchant's last hours go?",
        "SELECT date_trunc('hour', ts) AS hour, count(*) AS orders,
       sum(gross - discount)::numeric(14, 2) AS revenue
FROM orders
WHERE merchant_id = {merchant} AND ts >= now() - interval '7 days'
GROUP BY 1 ORDER BY 1 DESC LIMIT 5;",
    ),
    (
        "Which cities order most, and how much through the app?",
        "SELECT m.city, m.country, count(*) AS orders,
       count(*) FILTER (WHERE o.channel = 'app') AS app_orders
FROM orders o JOIN merchants m ON m.merchant_id = o.merchant_id
GROUP BY m.city, m.country ORDER BY orders DESC LIMIT 5;",
    ),
];

/// Prints the questions with the answers of this database.
pub(crate) async fn print(client: &Client) -> Result<(), DemoError> {
    let biggest = "SELECT merchant_id FROM orders GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1";
    let (_, rows) = ask(client, biggest).await?;
    let merchant = rows.first().map_or("1", |row| row[0].as_str());
    for (question, sql) in QUESTIONS {
        let sql = sql.replace("{merchant}", merchant);
        let begun = Instant::now();
        let (names, rows) = ask(client, &sql).await?;
        let took_ms = begun.elapsed().as_secs_f64() * 1e3;
        say!(
            "-- {question}\n{sql}\n\n{}{took_ms:.1} ms\n",
            table(&names, &rows)
        );
    }
    Ok(())
}

/// The column names and the rows in the server's own text, as psql gets them.
async fn ask(client: &Client, sql: &str) -> Result<(Vec<String>, Vec<Vec<String>>), DemoError> {
    let answer = client.simple_query(sql).await;
    let answer = answer.map_err(|source| DemoError::new("query the orders", source))?;
    let (mut names, mut rows) = (Vec::new(), Vec::new());
    for message in &answer {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                names = columns
                    .iter()
                    .map(|column| column.name().to_owned())
                    .collect();
            }
            SimpleQueryMessage::Row(row) => {
                let value = |column| row.get(column).unwrap_or_default().to_owned();
                rows.push((0..row.len()).map(value).collect());
            }
            _ => {}
        }
    }
    Ok((names, rows))
}

/// Lays rows out as psql does.
fn table(names: &[String], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..names.len())
        .map(|column| {
            let values = rows.iter().map(|row| row[column].chars().count());
            values
                .chain([names[column].chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |values: &[String]| {
        let cells = values
            .iter()
            .zip(&widths)
            .map(|(value, width)| format!(" {value:<width$} "));
        format!("{}\n", cells.collect::<Vec<_>>().join("|").trim_end())
    };
    let rule = widths
        .iter()
        .map(|width| "-".repeat(width + 2))
        .collect::<Vec<_>>()
        .join("+");
    let body: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}\n{body}", line(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_value() {
        let text = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let rows = [text(&["Zürich", "1"]), text(&["Rome", "12"])];
        let expected = " city   | n\n--------+----\n Zürich | 1\n Rome   | 12\n";
        assert_eq!(table(&text(&["city", "n"]), &rows), expected);
    }
}
