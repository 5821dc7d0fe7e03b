//! A sequence: random steps, and after each of them every aggregate against its query.
//!
//! What is asked again and again has plans that are kept; now and then it is planned anew, and then by
//! a connection of its own while the step is under way.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Error;

use super::OPTIONS;
use super::reference::Reference;
use super::schema::{AGGREGATES, Aggregate, GROUP_QUERIES, QUERIES, rows_since, tables};
use super::session::{Session, is_gone, said};
use super::step::{Standing, Step, times};
use crate::crash::chance::Chance;
use crate::server::Server;

const STEPS: usize = 50;
/// Queries over the table that a sequence asks, by turns.
const QUERIES_OF_ONE: usize = 2;

/// One sequence under way.
pub(super) struct Sequence<'a> {
    server: &'a mut Server,
    chance: Chance,
    session: Session,
    /// Looks while the other changes rows.
    beside: Session,
    standing: Standing,
    /// Runs of retention, and how many there had been when an aggregate was made.
    runs: u32,
    since: HashMap<&'static str, u32>,
    queries: [&'static str; QUERIES_OF_ONE],
    /// What was done, to tell when something differs.
    script: String,
}

/// Runs one on a server, which may be another afterwards; at the end the reference is asked too.
///
/// # Errors
/// What differs, and how it came to be.
pub(super) async fn run(
    server: &mut Server,
    mut chance: Chance,
    reference: Option<&mut Reference>,
) -> Result<(), String> {
    let session = Session::of(server).await;
    let beside = Session::of(server).await;
    let mut sequence = Sequence {
        standing: Standing::of(&mut chance),
        queries: [(); QUERIES_OF_ONE].map(|()| chance.pick(&QUERIES)),
        server,
        chance,
        session,
        beside,
        runs: 0,
        since: HashMap::new(),
        script: String::new(),
    };
    let ended = sequence.steps(reference).await;
    ended.map_err(|wrong| format!("{wrong}\n{}", sequence.script))
}

impl Sequence<'_> {
    async fn steps(&mut self, reference: Option<&mut Reference>) -> Result<(), String> {
        self.ask(&tables()).await?;
        for _ in 0..STEPS {
            let step = self.standing.next(&mut self.chance);
            self.take(step).await?;
            self.check().await?;
        }
        if self.standing.in_transaction {
            self.end("commit").await?;
            self.check().await?;
        }
        let kept = "select coalesce(sum(generic_plans), 0) > 0 from pg_prepared_statements";
        let kept = self.session.rows(kept).await.map_err(|e| said(&e))?;
        if kept != ["t"] && !self.standing.made.is_empty() {
            return Err("no plan was kept".to_owned());
        }
        if let Some(reference) = reference {
            reference.take(&self.session).await?;
            for (aggregate, has_added) in &self.standing.made {
                let query = self.query(aggregate, *has_added);
                let hourly = self.query(&AGGREGATES[0], self.has_added(&AGGREGATES[0]));
                let differs = reference.compare(&self.session, aggregate.name, &query, &hourly);
                differs.await?;
            }
        }
        Ok(())
    }

    /// Does a step.
    async fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Change(statement) => self.change(&statement).await?,
            Step::Copy(lines) => {
                let _ = writeln!(self.script, "copy facts from stdin;\n{lines}\\.");
                let copied = self.session.copy_in("copy facts from stdin", lines.into());
                copied.await.map_err(|e| format!("COPY: {}", said(&e)))?;
            }
            Step::Truncate => {
                self.ask("truncate facts").await?;
                // Nothing is kept of rows that had been dropped.
                self.ask("delete from gone").await?;
            }
            Step::Create(aggregate) => self.create(aggregate).await?,
            Step::Drop(aggregate) => {
                self.ask(&format!("drop materialized view {}", aggregate.name))
                    .await?;
                self.standing.made.retain(|(other, _)| *other != aggregate);
                self.standing.left.push(aggregate);
            }
            Step::AddColumn(aggregate) => {
                if self.may_be_refused(&aggregate.add_column()).await? {
                    let made = &mut self.standing.made;
                    made.iter_mut()
                        .filter(|(other, _)| *other == aggregate)
                        .for_each(|(_, has_added)| *has_added = true);
                }
            }
            Step::Rename(Aggregate { name, .. }) => {
                let renamed = format!("alter materialized view {name} rename to renamed");
                self.ask(&renamed).await?;
                let back = format!("alter materialized view renamed rename to {name}");
                self.ask(&back).await?;
            }
            Step::Refresh(statement) => {
                self.may_be_refused(&statement).await?;
            }
            Step::Begin(statement) => {
                self.ask(statement).await?;
                self.standing.in_transaction = true;
            }
            Step::End(statement) => self.end(statement).await?,
            Step::Savepoint => {
                self.ask("savepoint here").await?;
                self.standing.has_savepoint = true;
            }
            Step::Back => {
                self.ask("rollback to savepoint here").await?;
            }
            Step::Forget(before) => self.forget(before).await?,
            Step::Crash(under_way) => self.crash(under_way.as_deref()).await,
            Step::Rest(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
        Ok(())
    }

    async fn create(&mut self, aggregate: &'static Aggregate) -> Result<(), String> {
        let known = self.since.get(AGGREGATES[0].name);
        let is_above_gone = aggregate.is_above() && known.is_some_and(|since| *since < self.runs);
        // It would stand for other rows than the aggregate that it reads.
        if is_above_gone && !self.may_be_refused(&aggregate.create()).await? {
            return Ok(());
        } else if !is_above_gone {
            self.ask(&aggregate.create()).await?;
        }
        self.since.insert(aggregate.name, self.runs);
        self.standing.made.push((aggregate, false));
        Ok(())
    }

    async fn end(&mut self, statement: &str) -> Result<(), String> {
        self.ask(statement).await?;
        self.standing.in_transaction = false;
        self.standing.has_savepoint = false;
        Ok(())
    }

    /// Changes rows; now and then somebody looks meanwhile.
    async fn change(&mut self, statement: &str) -> Result<(), String> {
        let _ = writeln!(self.script, "{statement};");
        let made = &self.standing.made;
        let look = match made.is_empty() || !self.chance.one_in(16) {
            true => None,
            false => {
                let (aggregate, has_added) = self.chance.pick(made);
                Some(except_all(
                    aggregate.name,
                    &self.query(aggregate, has_added),
                ))
            }
        };
        let seen = async {
            match &look {
                Some(look) => self.beside.rows(look).await,
                None => Ok(Vec::new()),
            }
        };
        let (done, seen) = tokio::join!(self.session.rows(statement), seen);
        let seen = seen.map_err(|e| format!("beside {statement}: {}", said(&e)))?;
        if seen.iter().any(|count| count != "0") {
            return Err(format!(
                "{seen:?} rows differ beside {statement}: {}",
                look.unwrap_or_default()
            ));
        }
        self.unless_gone(statement, done).await?;
        Ok(())
    }

    /// Rows that are older go; what they were is kept in the table `gone`. The table's chunks are hours.
    async fn forget(&mut self, before: u64) -> Result<(), String> {
        self.runs += 1;
        let run = self.runs;
        self.ask(&format!(
            "insert into gone select k, ts, a, x, s, id, {run} from facts where ts < to_timestamp({before})"
        ))
        .await?;
        self.ask(&format!(
            "select drop_chunks('facts', older_than => to_timestamp({before}))"
        ))
        .await?;
        self.ask(&format!(
            "delete from gone where run = {run} \
             and date_trunc('hour', ts) in (select date_trunc('hour', ts) from facts)"
        ))
        .await?;
        Ok(())
    }

    async fn crash(&mut self, under_way: Option<&str>) {
        let _ = writeln!(self.script, "{}; -- SIGKILL", under_way.unwrap_or_default());
        if let Some(statement) = under_way {
            let time = Duration::from_micros(self.chance.below(20_000));
            // Whether it is done is not known, and need not be.
            let _ = tokio::time::timeout(time, self.session.rows(statement)).await;
        }
        self.server.kill();
        *self.server = Server::start_in(self.server.dir(), self.chance.pick(&OPTIONS), &[]);
        self.session = Session::of(self.server).await;
        self.beside = Session::of(self.server).await;
        self.standing.in_transaction = false;
        self.standing.has_savepoint = false;
    }

    /// Every aggregate is what its query is, and a query over the table is what it is over its rows.
    async fn check(&mut self) -> Result<(), String> {
        for (aggregate, has_added) in self.standing.made.clone() {
            let (name, query) = (aggregate.name, self.query(aggregate, has_added));
            let differences = if self.chance.one_in(24) {
                let count = self.session.rows(&except_all(name, &query)).await;
                count.map(|count| match count.concat().as_str() {
                    "0" => String::new(),
                    count => format!("{count} rows"),
                })
            } else {
                let both = format!(
                    "select 'kept' as side, * from {name} union all select 'rows', * from ({query}) q"
                );
                let prepared = format!("same_{name}");
                let rows = self.session.rows_again(&prepared, &both, "", "");
                rows.await.map(|rows| differences(&rows, "kept|", "rows|"))
            };
            match differences {
                Ok(differences) if differences.is_empty() => {}
                Ok(differences) => return Err(format!("{name} differs: {differences}\n{query}")),
                Err(e) => return Err(format!("{name}: {}\n{query}", said(&e))),
            }
        }
        let turn = self.chance.below(QUERIES_OF_ONE as u64) as usize;
        self.check_query(turn).await?;
        match self.chance.one_in(4) {
            true => self.check_groups().await,
            false => Ok(()),
        }
    }

    /// A query over the groups of an aggregate, which its partials may answer without them.
    async fn check_groups(&mut self) -> Result<(), String> {
        let hourly = &AGGREGATES[0];
        let mut made = self.standing.made.iter();
        if !made.any(|(aggregate, _)| *aggregate == hourly) {
            return Ok(());
        }
        let turn = self.chance.below(GROUP_QUERIES.len() as u64) as usize;
        let query = GROUP_QUERIES[turn];
        let own = query.replace("{groups}", hourly.name);
        let name = format!("groups_{turn}");
        let rows = self.session.rows_again(&name, &own, "", "");
        let rows = rows.await.map_err(|e| format!("{own}: {}", said(&e)))?;
        let again = query.replace(
            "{groups}",
            &format!("(select * from {} offset 0)", hourly.name),
        );
        let of_groups = self.session.rows(&again).await;
        let of_groups = of_groups.map_err(|e| format!("{again}: {}", said(&e)))?;
        same(&own, rows, of_groups)
    }

    /// Nobody else changes rows, so that two statements see the same.
    async fn check_query(&mut self, turn: usize) -> Result<(), String> {
        let query = self.queries[turn];
        let (from, to) = times(&mut self.chance);
        let within = |from: &str, to: &str| {
            format!("f.ts >= to_timestamp({from}) and f.ts < to_timestamp({to})")
        };
        let own = query.replace("{facts}", "facts");
        let again = query.replace("{facts}", "(select * from facts)");
        let text = own.replace("{times}", &within(&from.to_string(), &to.to_string()));
        let (types, arguments) = match query.contains("{times}") {
            true => (
                "(double precision, double precision)",
                format!("({from}, {to})"),
            ),
            false => ("", String::new()),
        };
        let [own, again] = [own, again].map(|query| query.replace("{times}", &within("$1", "$2")));
        let own = match self.chance.one_in(2) {
            true => self.session.rows(&text).await,
            false => {
                let name = format!("own_{turn}");
                self.session
                    .rows_again(&name, &own, types, &arguments)
                    .await
            }
        };
        let own = own.map_err(|e| format!("{text}: {}", said(&e)))?;
        let name = format!("again_{turn}");
        let rows = self.session.rows_again(&name, &again, types, &arguments);
        let rows = rows.await.map_err(|e| format!("{again}: {}", said(&e)))?;
        same(&text, own, rows)
    }

    /// The query of an aggregate, over the rows that it stands for.
    fn query(&self, aggregate: &Aggregate, has_added: bool) -> String {
        match self.since.get(aggregate.name) {
            Some(&since) if since < self.runs => aggregate.query(&rows_since(since), has_added),
            _ => aggregate.query("facts", has_added),
        }
    }

    fn has_added(&self, aggregate: &Aggregate) -> bool {
        let mut made = self.standing.made.iter();
        made.any(|(other, has_added)| *other == aggregate && *has_added)
    }

    /// A statement that does not fail.
    async fn ask(&mut self, statement: &str) -> Result<(), String> {
        let _ = writeln!(self.script, "{statement};");
        let done = self.session.rows(statement).await;
        done.map_err(|e| format!("{statement}: {}", said(&e)))?;
        Ok(())
    }

    /// A statement that needs rows which may be gone. Whether it was done.
    async fn may_be_refused(&mut self, statement: &str) -> Result<bool, String> {
        let _ = writeln!(self.script, "{statement};");
        let done = self.session.rows(statement).await;
        self.unless_gone(statement, done).await
    }

    /// A refusal is right where rows are gone, and ends the transaction. Whether there was none.
    async fn unless_gone(
        &mut self,
        statement: &str,
        done: Result<Vec<String>, Error>,
    ) -> Result<bool, String> {
        match done {
            Ok(_) => Ok(true),
            Err(e) if self.runs > 0 && is_gone(&e) => {
                if self.standing.in_transaction {
                    self.end("rollback").await?;
                }
                Ok(false)
            }
            Err(e) => Err(format!("{statement}: {}", said(&e))),
        }
    }
}

/// How many rows an aggregate and its query do not have in common.
pub(super) fn except_all(name: &str, query: &str) -> String {
    format!(
        "select count(*) from ((select * from {name} except all select * from ({query}) q) \
         union all (select * from ({query}) q except all select * from {name})) d"
    )
}

/// Whether a query answers what it has to.
fn same(query: &str, own: Vec<String>, wanted: Vec<String>) -> Result<(), String> {
    let sided = |side: &str, rows: Vec<String>| {
        let rows = rows.into_iter().map(|row| format!("{side}{row}"));
        rows.collect::<Vec<_>>()
    };
    let both = [sided("own|", own), sided("wanted|", wanted)].concat();
    match differences(&both, "own|", "wanted|") {
        differences if differences.is_empty() => Ok(()),
        differences => Err(format!("{query} differs: {differences}")),
    }
}

/// The first rows that are more often on one side than on the other: `EXCEPT ALL`, both ways.
fn differences(rows: &[String], one: &str, other: &str) -> String {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for row in rows {
        match (row.strip_prefix(one), row.strip_prefix(other)) {
            (Some(row), _) => *counts.entry(row).or_default() += 1,
            (_, Some(row)) => *counts.entry(row).or_default() -= 1,
            _ => return format!("a row of neither side: {row}"),
        }
    }
    let uneven = counts.iter().filter(|(_, count)| **count != 0).take(6);
    let told = uneven.map(|(row, count)| {
        let side = if *count > 0 { one } else { other };
        format!("\n  {} {side}{row}", count.abs())
    });
    told.collect()
}
