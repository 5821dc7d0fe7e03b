//! Each limit at n and at n + 1, on the stack that a thread which serves connections has: what is let through can be
//! cloned, printed, rewritten and dropped there.

use super::super::limits::{
    CTES_MAX, IN_LIST_MAX, JOINS_MAX, NESTING_MAX, OPERATORS_MAX, TEXT_BYTES_MAX, TOKENS_MAX,
    UNION_ARMS_MAX,
};
use super::super::{Parsed, Statement, parse, rewrite_query};
use crate::error::{SqlError, SqlState};

fn on_stack<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(bytes)
            .spawn_scoped(scope, run);
        thread.expect("a thread").join().expect("no panic")
    })
}

/// Parses and does what a session does with a tree: rewriting is for the stack that plans.
fn handle(message: &str) -> Result<(), SqlError> {
    let parsed = on_stack(16 << 20, || {
        let parsed: Vec<Parsed> = parse(message)?;
        for parsed in parsed.clone() {
            if let Statement::Query(query) = parsed.statement {
                assert!(!query.to_string().is_empty());
            }
        }
        Ok::<_, SqlError>(parsed.clone())
    })?;
    let rewritten = on_stack(64 << 20, || {
        let mut parsed = parsed.clone();
        for parsed in &mut parsed {
            if let Statement::Query(query) = &mut parsed.statement {
                rewrite_query(query)?;
            }
        }
        Ok::<_, SqlError>(parsed)
    })?;
    on_stack(16 << 20, move || drop((rewritten.clone(), rewritten)));
    Ok(())
}

/// `n` is let through and `n + 1` is not.
#[track_caller]
fn limit(n: usize, state: SqlState, message: impl Fn(usize) -> String) {
    if let Err(error) = handle(&message(n)) {
        panic!("{n}: {error:?}");
    }
    assert_eq!(
        handle(&message(n + 1)).map_err(|error| error.state),
        Err(state),
        "{}",
        n + 1
    );
    // Far beyond, as far as the tokens go.
    for n in [n * 2, 4_000, 9_000] {
        assert!(handle(&message(n.max(n + 1))).is_err(), "{n}");
    }
}

const COMPLEX: SqlState = SqlState::STATEMENT_TOO_COMPLEX;

#[test]
fn text() {
    let message = |n: usize| format!("SELECT '{}'", "x".repeat(n - 9));
    assert_eq!(message(100).len(), 100);
    handle(&message(TEXT_BYTES_MAX)).expect("as long as may be");
    let error = handle(&message(TEXT_BYTES_MAX + 1)).expect_err("too long");
    assert_eq!(error.state, SqlState::PROGRAM_LIMIT_EXCEEDED);
}

#[test]
fn tokens() {
    // SELECT 1 and pairs of comma and number.
    let message = |n: usize| format!("SELECT 1{}", ",1".repeat((n - 2) / 2));
    handle(&message(TOKENS_MAX)).expect("as many as may be");
    let error = handle(&message(TOKENS_MAX + 2)).expect_err("too many");
    assert_eq!(error.state, SqlState::PROGRAM_LIMIT_EXCEEDED);
}

#[test]
fn brackets() {
    limit(NESTING_MAX, COMPLEX, |n| {
        format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n))
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!("SELECT {}1{}", "abs(".repeat(n), ")".repeat(n))
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n))
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!("{}SELECT 1{}", "SELECT (".repeat(n), ")".repeat(n))
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!("{}SELECT 1{}", "(".repeat(n), ")".repeat(n))
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!(
            "SELECT * FROM {}t{}",
            "(SELECT * FROM ".repeat(n),
            ") s".repeat(n)
        )
    });
    limit(NESTING_MAX, COMPLEX, |n| {
        format!(
            "SELECT 1 WHERE {}true{}",
            "EXISTS (SELECT 1 WHERE ".repeat(n),
            ")".repeat(n)
        )
    });
}

#[test]
fn cases() {
    limit(NESTING_MAX, COMPLEX, |n| {
        format!(
            "SELECT {}1{}",
            "CASE WHEN true THEN ".repeat(n),
            " END".repeat(n)
        )
    });
}

#[test]
fn operators() {
    for link in [
        "+1",
        " AND true",
        " OR true",
        "||'a'",
        "::int",
        "=1",
        " IS NULL",
        "^2",
    ] {
        limit(OPERATORS_MAX, COMPLEX, |n| {
            format!("SELECT 1{}", link.repeat(n))
        });
    }
    limit(OPERATORS_MAX, COMPLEX, |n| {
        format!("SELECT 1 WHERE 1=1{}", " AND 1=1".repeat(n - 1))
    });
    // Chains in brackets add up.
    handle(&format!(
        "SELECT {}1{}",
        "(".repeat(40),
        format!("{})", "+1".repeat(200)).repeat(40)
    ))
    .expect_err("too deep together");
}

#[test]
fn prefixes() {
    // sqlparser's own limit on recursion, which is not ours to name.
    for prefix in ["NOT ", "- ", "+ ", "~ ", "INTERVAL "] {
        let message = |n: usize| format!("SELECT {}'1'", prefix.repeat(n));
        handle(&message(1)).expect("one");
        for n in [1_000, 5_000, 20_000] {
            assert!(handle(&message(n)).is_err(), "{prefix} {n}");
        }
    }
}

#[test]
fn unions() {
    for operator in ["UNION ALL", "UNION", "INTERSECT", "EXCEPT"] {
        limit(UNION_ARMS_MAX, COMPLEX, |n| {
            format!("SELECT 1{}", format!(" {operator} SELECT 1").repeat(n - 1))
        });
    }
    limit(UNION_ARMS_MAX / 2, COMPLEX, |n| {
        let half = format!("SELECT 1{}", " UNION SELECT 1".repeat(n - 1));
        format!("SELECT * FROM ({half}) a, ({half}) b")
    });
}

#[test]
fn joins() {
    for join in [" JOIN t ON true", ", t", " NATURAL JOIN t", " CROSS JOIN t"] {
        limit(JOINS_MAX, COMPLEX, |n| {
            format!("SELECT * FROM t{}", join.repeat(n))
        });
    }
}

#[test]
fn in_lists() {
    let message = |n: usize| format!("SELECT 1 WHERE 1 IN (1{})", ",1".repeat(n - 1));
    handle(&message(IN_LIST_MAX)).expect("as many as may be");
    let error = handle(&message(IN_LIST_MAX + 1)).expect_err("too many");
    assert_eq!(error.state, COMPLEX);
}

#[test]
fn with_queries() {
    let message = |n: usize| {
        let queries: Vec<String> = (0..n).map(|i| format!("q{i} AS (SELECT 1)")).collect();
        format!("WITH {} SELECT 1", queries.join(", "))
    };
    handle(&message(CTES_MAX)).expect("as many as may be");
    assert_eq!(
        handle(&message(CTES_MAX + 1)).map_err(|error| error.state),
        Err(COMPLEX)
    );
}

#[test]
fn types() {
    for element in ["[]", "[3]"] {
        let message = |n: usize| format!("SELECT NULL::int{}", element.repeat(n));
        handle(&message(6)).expect("as in PostgreSQL");
        for n in [33, 5_000, 9_000] {
            assert!(handle(&message(n)).is_err(), "{n}");
        }
    }
    for (open, close) in [
        ("ARRAY<", ">"),
        ("STRUCT<a ", ">"),
        ("MAP(int, ", ")"),
        ("Nullable(", ")"),
    ] {
        for n in [60, 5_000] {
            let ty = format!("{}int{}", open.repeat(n), close.repeat(n));
            assert!(handle(&format!("SELECT CAST(NULL AS {ty})")).is_err());
            assert!(handle(&format!("CREATE TABLE t (a {ty})")).is_err());
        }
    }
}

#[test]
fn time_is_linear() {
    // Constructs that make a parser try several ways.
    let deep = |open: &str, close: &str| {
        format!("{}{}", open.repeat(NESTING_MAX), close.repeat(NESTING_MAX))
    };
    let messages = [
        format!("SELECT * FROM {}", deep("(", ")")),
        format!("SELECT * FROM {}", "(".repeat(NESTING_MAX)),
        format!("SELECT {}", "(".repeat(NESTING_MAX)),
        format!("SELECT {}", "a(".repeat(NESTING_MAX)),
        format!("SELECT {}", "(a,".repeat(NESTING_MAX)),
        format!("SELECT {}", "CASE ".repeat(NESTING_MAX)),
        format!("SELECT {}", "a[".repeat(NESTING_MAX)),
        format!("SELECT {}", "date(".repeat(NESTING_MAX)),
        format!("SELECT {}", "interval (".repeat(NESTING_MAX)),
        format!("SELECT {}", "timestamp(".repeat(NESTING_MAX)),
        format!(
            "SELECT {}1{}",
            "CAST(".repeat(NESTING_MAX),
            " AS int)".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT * FROM {}t{}",
            "(".repeat(NESTING_MAX),
            ")".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT * FROM {}t{}",
            "(t JOIN ".repeat(NESTING_MAX),
            ")".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT * FROM {}t{}",
            "((SELECT * FROM ".repeat(25),
            ") a CROSS JOIN t)".repeat(25)
        ),
        format!(
            "SELECT * FROM {}t{}",
            "(((SELECT * FROM ".repeat(16),
            ") a CROSS JOIN t) CROSS JOIN t)".repeat(16)
        ),
        format!(
            "SELECT {}1{}",
            "CAST(".repeat(NESTING_MAX),
            " AS)".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "EXTRACT(a FROM ".repeat(NESTING_MAX),
            "))".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "a IN ((SELECT ".repeat(25),
            "),1)".repeat(25)
        ),
        format!(
            "SELECT {}1{}",
            "a IN (".repeat(NESTING_MAX),
            ")".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "f(x => ".repeat(NESTING_MAX),
            ")".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "position(".repeat(NESTING_MAX),
            " in a)".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "trim(".repeat(NESTING_MAX),
            ")".repeat(NESTING_MAX)
        ),
        format!(
            "SELECT {}1{}",
            "EXISTS (SELECT ".repeat(NESTING_MAX),
            "))".repeat(NESTING_MAX)
        ),
        "SELECT a b c ".repeat(2_000),
        "/*".repeat(100_000),
        "$a".repeat(100_000),
        "'".repeat(200_001),
        "\"".repeat(200_001),
        "e'\\".repeat(80_000),
    ];
    for message in messages {
        let start = std::time::Instant::now();
        let _ = handle(&message);
        let elapsed = start.elapsed();
        let shown: String = message.chars().take(60).collect();
        assert!(elapsed.as_secs() < 5, "{elapsed:?} for {shown}");
    }
}

/// `n` WITH queries, each of which names the one before twice.
fn doubling(n: usize) -> String {
    let mut text = "with c0 as (select 1 as x)".to_owned();
    for i in 1..n {
        text += &format!(", c{i} as (select a.x from c{} a, c{} b)", i - 1, i - 1);
    }
    text + &format!(" select * from c{}", n - 1)
}

#[test]
fn queries_that_multiply() {
    let refused = Err(SqlState::STATEMENT_TOO_COMPLEX);
    let state = |message: &str| handle(message).map_err(|error| error.state);
    assert_eq!(state(&doubling(9)), Ok(()));
    assert_eq!(state(&doubling(16)), refused);
    assert_eq!(state(&doubling(32)), refused);
    // A name that means a table, or a WITH query elsewhere, weighs nothing more.
    let inner = doubling(9);
    assert_eq!(
        state(&format!("select * from ({inner}) x, c8 y, c8 z")),
        Ok(())
    );
    assert_eq!(
        state(&format!(
            "select (select count(*) from ({}) t)",
            doubling(20)
        )),
        refused
    );
    assert_eq!(
        state(
            "with recursive r as (select 1 as x union all select x + 1 from r where x < 5) select * from r"
        ),
        Ok(())
    );
}

#[test]
fn grouping_sets() {
    let cube = |n: usize| {
        let columns: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
        format!("cube ({})", columns.join(", "))
    };
    let state = |by: String| {
        let message = format!("select count(*) from t group by {by}");
        handle(&message).map_err(|error| error.state)
    };
    assert_eq!(state(cube(12)), Ok(()));
    assert_eq!(state(cube(13)), Err(SqlState::TOO_MANY_COLUMNS));
    assert_eq!(state(format!("{}, {}", cube(6), cube(6))), Ok(()));
    assert_eq!(
        state(format!("{}, {}", cube(7), cube(6))),
        Err(SqlState::STATEMENT_TOO_COMPLEX)
    );
}
