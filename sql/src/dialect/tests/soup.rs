//! Random tokens never panic, whatever they make.

use super::super::{
    Statement, parse, rewrite_delete, rewrite_insert, rewrite_query, rewrite_update,
};

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "FETCH FIRST",
    "ROWS ONLY",
    "UNION",
    "ALL",
    "EXCEPT",
    "DISTINCT",
    "ON",
    "JOIN",
    "LEFT",
    "NATURAL",
    "USING",
    "WITH",
    "RECURSIVE",
    "AS",
    "VALUES",
    "TABLE",
    "INSERT INTO",
    "UPDATE",
    "DELETE FROM",
    "SET",
    "RETURNING",
    "DEFAULT",
    "CREATE TABLE",
    "DROP TABLE",
    "IF NOT EXISTS",
    "PRIMARY KEY",
    "NOT NULL",
    "COPY",
    "STDIN",
    "STDOUT",
    "TO",
    "CSV",
    "HEADER",
    "DELIMITER",
    "FORCE",
    "QUOTE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT",
    "RELEASE",
    "ISOLATION LEVEL",
    "SERIALIZABLE",
    "READ",
    "ONLY",
    "SHOW",
    "RESET",
    "TIME ZONE",
    "LOCAL",
    "SESSION",
    "DECLARE",
    "CURSOR",
    "FOR",
    "FETCH",
    "NEXT",
    "MOVE",
    "CLOSE",
    "PREPARE",
    "EXECUTE",
    "DEALLOCATE",
    "EXPLAIN",
    "ANALYZE",
    "TRUNCATE",
    "CALL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST",
    "INTERVAL",
    "DATE",
    "TIMESTAMP",
    "ARRAY",
    "ROW",
    "EXISTS",
    "IN",
    "BETWEEN",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "LIKE",
    "ILIKE",
    "SIMILAR",
    "ANY",
    "COLLATE",
    "AT",
    "OPERATOR",
    "OVER",
    "PARTITION BY",
    "FILTER",
    "WITHIN GROUP",
    "LATERAL",
    "UNNEST",
    "EXTRACT",
    "SUBSTRING",
    "TRIM",
    "POSITION",
    "OVERLAY",
    "UPDATE",
    "INTO",
    "TOP",
    "QUALIFY",
    "PIVOT",
    "LOCK",
    "t",
    "a",
    "b",
    "c.d",
    "\"Q\"",
    "pg_catalog",
    ".",
    "time_bucket",
    "create_hypertable",
    "by_range",
    "int",
    "text",
    "regclass",
    "varchar(3)",
    "numeric(5,2)",
    "1",
    "2.5",
    "1e9",
    "99999999999",
    "'x'",
    "E'\\n'",
    "$$d$$",
    "B'1'",
    "X'1F'",
    "N'n'",
    "U&'u'",
    "$1",
    "?",
    ":a",
    "@b",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ",",
    ";",
    "*",
    "+",
    "-",
    "/",
    "%",
    "^",
    "=",
    "<",
    ">",
    "<>",
    "<=",
    "!=",
    "||",
    "::",
    ":",
    ":=",
    "=>",
    "->",
    "->>",
    "@>",
    "<@",
    "~",
    "!~*",
    "&&",
    "|",
    "&",
    "#",
    "<<",
    ">>",
    "!",
    "!!",
    "\\",
    "é",
    "--c\n",
    "/*c*/",
    "'",
    "\"",
    "$a$",
];

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Parses and rewrites; a panic fails the test, an error is fine.
fn handle(message: &str) -> bool {
    let result = std::panic::catch_unwind(|| match parse(message) {
        Ok(statements) => {
            let count = statements.len();
            for parsed in statements {
                assert!(parsed.offset + parsed.text.chars().count() <= message.chars().count());
                match parsed.statement {
                    Statement::Query(mut query) => drop(rewrite_query(&mut query)),
                    Statement::Insert(mut insert) => drop(rewrite_insert(&mut insert)),
                    Statement::Update(mut update) => drop(rewrite_update(&mut update)),
                    Statement::Delete(mut delete) => drop(rewrite_delete(&mut delete)),
                    _ => {}
                }
            }
            count > 0
        }
        Err(error) => {
            let length = message.chars().count();
            assert!(
                error
                    .position
                    .is_none_or(|at| (1..=length + 1).contains(&at)),
                "{error:?}"
            );
            assert_ne!(
                error.state,
                crate::error::SqlState::INTERNAL_ERROR,
                "{error:?}"
            );
            false
        }
    });
    match result {
        Ok(parsed) => parsed,
        Err(_) => panic!("in {message}"),
    }
}

#[test]
fn random_tokens() {
    let mut state = 55;
    for _ in 0..5_000 {
        let length = 1 + next(&mut state) % 24;
        let words: Vec<&str> = (0..length)
            .map(|_| WORDS[(next(&mut state) % WORDS.len() as u64) as usize])
            .collect();
        handle(&words.join(" "));
    }
}

#[test]
fn damaged_statements() {
    // Real statements with one token replaced, dropped or doubled reach further than soup.
    let corpus: Vec<&str> = include_str!("statements.txt")
        .split("\n\n")
        .filter_map(|block| block.split("\n----").next())
        .chain(include_str!("psql.txt").split("@@\n"))
        .filter(|statement| !statement.starts_with('#'))
        .collect();
    let mut state = 77;
    let mut parsed = 0;
    for _ in 0..5_000 {
        let statement = corpus[(next(&mut state) % corpus.len() as u64) as usize];
        let mut words: Vec<&str> = statement.split_inclusive([' ', '(', ')', ',']).collect();
        for _ in 0..1 + next(&mut state) % 3 {
            let at = (next(&mut state) % words.len() as u64) as usize;
            match next(&mut state) % 3 {
                0 => words[at] = WORDS[(next(&mut state) % WORDS.len() as u64) as usize],
                1 => drop(words.remove(at)),
                _ => words.insert(at, words[at]),
            }
            if words.is_empty() {
                words.push(";");
            }
        }
        parsed += usize::from(handle(&words.concat()));
    }
    assert!(parsed > 200, "only {parsed} were statements");
}
