//! Who asks, what it is connected to, and what it may do: everything, as there are no grants.

use super::Param::{Bool, Int, Named, Oid, Text};
use super::{Returns, Spec};
use crate::catalog::PUBLIC;
use crate::catalog::system::Change;
use crate::catalog::system::cluster::UTF8;
use crate::catalog::system::rows::Cell;

const fn yes(name: &'static str, takes: &'static [&'static [super::Param]]) -> Spec {
    Spec {
        name,
        takes,
        returns: Returns::Bool,
        row: |_, _| Ok(true.into()),
    }
}

const fn role(name: &'static str) -> Spec {
    Spec {
        name,
        takes: &[&[]],
        returns: Returns::Name,
        row: |context, _| Ok(context.session.user.as_str().into()),
    }
}

const fn database(name: &'static str) -> Spec {
    Spec {
        name,
        takes: &[&[]],
        returns: Returns::Name,
        row: |context, _| Ok(context.session.database.as_str().into()),
    }
}

const fn utf8(name: &'static str) -> Spec {
    Spec {
        name,
        takes: &[&[]],
        returns: Returns::Name,
        row: |_, _| Ok("UTF8".into()),
    }
}

/// The address or port of this side of a connection, which is not told.
const fn unknown(name: &'static str, returns: Returns) -> Spec {
    Spec {
        name,
        takes: &[&[]],
        returns,
        row: |_, _| Ok(Cell(None)),
    }
}

/// `(object, privilege)` and `(role, object, privilege)`.
const PRIVILEGE: &[&[super::Param]] = &[&[Named, Text], &[Named, Named, Text]];
const COLUMN_PRIVILEGE: &[&[super::Param]] = &[&[Named, Named, Text], &[Named, Named, Named, Text]];

pub(super) const FUNCTIONS: &[Spec] = &[
    role("current_user"),
    role("session_user"),
    role("user"),
    role("current_role"),
    database("current_database"),
    database("current_catalog"),
    utf8("getdatabaseencoding"),
    utf8("pg_client_encoding"),
    Spec {
        name: "current_schema",
        takes: &[&[]],
        returns: Returns::Name,
        row: |_, _| Ok(PUBLIC.into()),
    },
    Spec {
        name: "current_schemas",
        takes: &[&[Bool]],
        returns: Returns::Names,
        row: |_, args| {
            Ok(if args[0].bool() {
                "{pg_catalog,public}"
            } else {
                "{public}"
            }
            .into())
        },
    },
    Spec {
        name: "pg_backend_pid",
        takes: &[&[]],
        returns: Returns::Int4,
        row: |context, _| Ok(context.session.pid.into()),
    },
    Spec {
        name: "pg_get_userbyid",
        takes: &[&[Oid]],
        returns: Returns::Name,
        row: |context, args| Ok(context.role_name(args[0].oid()).into()),
    },
    Spec {
        name: "pg_is_in_recovery",
        takes: &[&[]],
        returns: Returns::Bool,
        row: |_, _| Ok(false.into()),
    },
    Spec {
        name: "pg_my_temp_schema",
        takes: &[&[]],
        returns: Returns::Oid,
        row: |_, _| Ok(0.into()),
    },
    Spec {
        name: "pg_is_other_temp_schema",
        takes: &[&[Oid]],
        returns: Returns::Bool,
        row: |_, _| Ok(false.into()),
    },
    Spec {
        name: "pg_char_to_encoding",
        takes: &[&[Text]],
        returns: Returns::Int4,
        row: |_, args| {
            let known = matches!(
                args[0].text().to_ascii_lowercase().as_str(),
                "utf8" | "utf-8" | "unicode"
            );
            Ok(if known { UTF8 } else { -1 }.into())
        },
    },
    Spec {
        name: "current_setting",
        takes: &[&[Text], &[Text, Bool]],
        returns: Returns::Text,
        row: |context, args| match context.session.settings.shown(args[0].text()) {
            Ok(value) => Ok(value.into()),
            Err(_) if args.get(1).is_some_and(|missing_ok| missing_ok.bool()) => Ok(Cell(None)),
            Err(error) => Err(error),
        },
    },
    Spec {
        name: "set_config",
        takes: &[&[Text, Text, Bool]],
        returns: Returns::Text,
        row: |context, args| {
            let (name, value) = (args[0].text(), args[1].text());
            let mut settings = context.session.settings.clone();
            settings.set(name, Some(value))?;
            let change = Change {
                name: name.to_owned(),
                value: value.to_owned(),
                local: args[2].bool(),
            };
            context.session.changes.lock().push(change);
            Ok(settings.shown(name)?.into())
        },
    },
    Spec {
        name: "pg_cancel_backend",
        takes: &[&[Int]],
        returns: Returns::Bool,
        row: |context, args| {
            let pid = i32::try_from(args[0].int()).unwrap_or(0);
            Ok(context.session.activities.cancel(pid).into())
        },
    },
    Spec {
        name: "inet_client_addr",
        takes: &[&[]],
        returns: Returns::Text,
        row: |context, _| {
            let client = context.session.client;
            Ok(client.map(|c| c.ip().to_canonical().to_string()).into())
        },
    },
    Spec {
        name: "inet_client_port",
        takes: &[&[]],
        returns: Returns::Int4,
        row: |context, _| {
            let client = context.session.client;
            Ok(client.map(|c| i32::from(c.port())).into())
        },
    },
    unknown("inet_server_addr", Returns::Text),
    unknown("inet_server_port", Returns::Int4),
    yes("has_any_column_privilege", PRIVILEGE),
    yes("has_column_privilege", COLUMN_PRIVILEGE),
    yes("has_database_privilege", PRIVILEGE),
    yes("has_function_privilege", PRIVILEGE),
    yes("has_language_privilege", PRIVILEGE),
    yes("has_schema_privilege", PRIVILEGE),
    yes("has_sequence_privilege", PRIVILEGE),
    yes("has_table_privilege", PRIVILEGE),
    yes("has_tablespace_privilege", PRIVILEGE),
    yes("has_type_privilege", PRIVILEGE),
    yes("pg_has_role", PRIVILEGE),
];
