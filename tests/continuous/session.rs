//! A connection that asks with plans that are kept, or made for one run.

use std::collections::HashMap;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, NoTls, SimpleQueryMessage};

use crate::server::Server;

/// One connection. What it has prepared is known by name.
pub(super) struct Session {
    client: Client,
    prepared: HashMap<String, String>,
}

impl Session {
    /// Its prepared queries have generic plans from the first run on.
    pub(super) async fn of(server: &Server) -> Session {
        let settings = format!(
            "host=127.0.0.1 port={} user=slicedb dbname=slicedb",
            server.address().port()
        );
        let session = Session::connect(&settings).await;
        let quiet = "set client_min_messages = warning; set plan_cache_mode = force_generic_plan";
        session.rows(quiet).await.expect("settings");
        session
    }

    /// A connection as it comes.
    pub(super) async fn connect(settings: &str) -> Session {
        let connected = tokio_postgres::connect(settings, NoTls).await;
        let (client, connection) = connected.expect("a connection");
        tokio::spawn(connection);
        Session {
            client,
            prepared: HashMap::new(),
        }
    }

    /// The rows of a statement that is planned for this run, each as text.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<String>, Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |row: &tokio_postgres::SimpleQueryRow| {
            let values = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL"));
            values.collect::<Vec<_>>().join("|")
        };
        Ok(rows.map(text).collect())
    }

    /// The rows of a query that is prepared at its first run under this name and runs with the plan
    /// that is kept. `arguments` is empty or a list in parentheses, whose types are `types`.
    pub(super) async fn rows_again(
        &mut self,
        name: &str,
        query: &str,
        types: &str,
        arguments: &str,
    ) -> Result<Vec<String>, Error> {
        let known = self.prepared.get(name);
        if known.is_none_or(|known| known != query) {
            if known.is_some() {
                self.rows(&format!("deallocate {name}")).await?;
                self.prepared.remove(name);
            }
            self.rows(&format!("prepare {name}{types} as {query}"))
                .await?;
            self.prepared.insert(name.to_owned(), query.to_owned());
        }
        self.rows(&format!("execute {name}{arguments}")).await
    }

    /// `COPY … TO STDOUT`.
    pub(super) async fn copy_out(&self, sql: &str) -> Result<Vec<u8>, Error> {
        use futures::TryStreamExt;
        let stream = self.client.copy_out(sql).await?;
        let parts: Vec<_> = stream.try_collect().await?;
        Ok(parts.concat())
    }

    /// `COPY … FROM STDIN`.
    pub(super) async fn copy_in(&self, sql: &str, rows: Vec<u8>) -> Result<(), Error> {
        use futures::SinkExt;
        let sink = self.client.copy_in(sql).await?;
        futures::pin_mut!(sink);
        sink.send(bytes::Bytes::from(rows)).await?;
        sink.close().await
    }
}

/// How a server said no: SQLSTATE and message.
pub(super) fn said(error: &Error) -> String {
    match error.as_db_error() {
        Some(e) => format!("{}: {}", e.code().code(), e.message()),
        None => error.to_string(),
    }
}

/// Whether rows may not be changed since others of their bucket have been dropped.
pub(super) fn is_gone(error: &Error) -> bool {
    error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
}
