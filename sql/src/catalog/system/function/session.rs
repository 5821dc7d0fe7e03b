//! Who asks, what it is connected to, and what it may do: everything, as there are no grants.

use super::Param::{Bool, Named, Oid, Text};
use super::{Returns, Spec};
use crate::catalog::PUBLIC;
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

/// An address or port of a connection, which is not told.
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
    unknown("inet_client_addr", Returns::Text),
    unknown("inet_client_port", Returns::Int4),
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
