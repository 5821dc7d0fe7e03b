//! Definitions and descriptions of what the catalogs list, and whether a name alone finds it.

use std::sync::Arc;

use super::Param::{Bool, Int, Named, Oid, Text};
use super::{Arg, Param, Returns, Spec};
use crate::catalog::AggregateEntry;
use crate::catalog::system::Context;
use crate::catalog::system::overviews::{definition_of, index_definition};
use crate::catalog::system::relation::{Relation, constraint_oid, primary_key_columns, quote};
use crate::catalog::system::rows::Cell;
use crate::error::Result;

/// Describes something of which there is none.
const fn nothing(name: &'static str, takes: &'static [&'static [Param]]) -> Spec {
    Spec {
        name,
        takes,
        returns: Returns::Text,
        row: |_, _| Ok(Cell(None)),
    }
}

/// Whether something of `pg_catalog` is found: the search path always leads there.
const fn visible(name: &'static str) -> Spec {
    Spec {
        name,
        takes: &[&[Oid]],
        returns: Returns::Bool,
        row: |_, _| Ok(true.into()),
    }
}

const OID: &[&[Param]] = &[&[Oid]];
const OID_PRETTY: &[&[Param]] = &[&[Oid], &[Oid, Bool]];

pub(super) const FUNCTIONS: &[Spec] = &[
    Spec {
        name: "pg_table_is_visible",
        takes: OID,
        returns: Returns::Bool,
        row: table_is_visible,
    },
    visible("pg_collation_is_visible"),
    visible("pg_conversion_is_visible"),
    visible("pg_function_is_visible"),
    visible("pg_opclass_is_visible"),
    visible("pg_operator_is_visible"),
    visible("pg_opfamily_is_visible"),
    visible("pg_statistics_obj_is_visible"),
    visible("pg_ts_config_is_visible"),
    visible("pg_ts_dict_is_visible"),
    visible("pg_ts_parser_is_visible"),
    visible("pg_ts_template_is_visible"),
    visible("pg_type_is_visible"),
    // The catalogs keep expressions as SQL.
    Spec {
        name: "pg_get_expr",
        takes: &[&[Text, Oid], &[Text, Oid, Bool]],
        returns: Returns::Text,
        row: |_, args| Ok(args[0].text().into()),
    },
    Spec {
        name: "pg_get_indexdef",
        takes: &[&[Oid], &[Oid, Int, Bool]],
        returns: Returns::Text,
        row: index,
    },
    Spec {
        name: "pg_get_constraintdef",
        takes: OID_PRETTY,
        returns: Returns::Text,
        row: constraint,
    },
    nothing("pg_describe_object", &[&[Oid, Oid, Int]]),
    nothing("pg_get_function_arguments", OID),
    nothing("pg_get_function_identity_arguments", OID),
    nothing("pg_get_function_result", OID),
    nothing("pg_get_function_sqlbody", OID),
    nothing("pg_get_functiondef", OID),
    nothing("pg_get_partition_constraintdef", OID),
    nothing("pg_get_partkeydef", OID),
    nothing("pg_get_ruledef", OID_PRETTY),
    nothing("pg_get_serial_sequence", &[&[Text, Text]]),
    nothing("pg_get_statisticsobjdef", OID),
    nothing("pg_get_statisticsobjdef_columns", OID),
    nothing("pg_get_triggerdef", OID_PRETTY),
    Spec {
        name: "pg_get_viewdef",
        takes: &[&[Named], &[Named, Bool]],
        returns: Returns::Text,
        row: |context, args| {
            let oid = context.named(args[0]).map(|relation| relation.oid());
            let is_named = |aggregate: &&Arc<AggregateEntry>| Some(aggregate.table.oid) == oid;
            let aggregate = context.catalog.aggregates().find(is_named);
            let mut views = context.catalog.views();
            let view = views.find(|(table, _)| Some(table.oid) == oid);
            let view = view.map(|(_, view)| format!("{};", view.text));
            Ok(aggregate
                .map(|aggregate| definition_of(aggregate))
                .or(view)
                .into())
        },
    },
    // The tablespaces are where the data directory is.
    Spec {
        name: "pg_tablespace_location",
        takes: OID,
        returns: Returns::Text,
        row: |_, _| Ok("".into()),
    },
    // Nothing can be commented on.
    nothing("col_description", &[&[Oid, Int]]),
    nothing("obj_description", &[&[Oid], &[Oid, Text]]),
    nothing("shobj_description", &[&[Oid, Text]]),
    Spec {
        name: "pg_relation_is_publishable",
        takes: &[&[Named]],
        returns: Returns::Bool,
        row: |context, args| Ok(matches!(context.named(args[0]), Some(Relation::Table(_))).into()),
    },
];

fn table_is_visible(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    Ok(context
        .relation(args[0].oid())
        .map(|relation| relation.is_visible())
        .into())
}

/// The index of a primary key, or one of its columns.
fn index(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    let Some(Relation::Index(table)) = context.relation(args[0].oid()) else {
        return Ok(Cell(None));
    };
    let column = match args.get(1).map_or(0, |column| column.int()) {
        0 => {
            let pretty = args.get(2).is_some_and(|pretty| pretty.bool());
            return Ok(index_definition(table, pretty).into());
        }
        number => usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1)),
    };
    let position = column.and_then(|column| table.def.primary_key().get(column));
    // PostgreSQL answers an empty text for a column that is not there.
    Ok(position
        .map_or(String::new(), |&position| {
            quote(&table.columns[position].name)
        })
        .into())
}

/// A primary key.
fn constraint(context: &Context, args: &[Arg<'_>]) -> Result<Cell> {
    let oid = args[0].oid();
    let mut tables = context.keyed_tables();
    let table = tables.find(|table| constraint_oid(table) == oid);
    Ok(table
        .map(|table| format!("PRIMARY KEY ({})", primary_key_columns(table)))
        .into())
}

impl Context {
    /// A relation by an oid or a name.
    pub(super) fn named(&self, arg: Arg<'_>) -> Option<Relation<'_>> {
        match (arg, arg.oid()) {
            (Arg::Text(name), 0) => self.relation_named(name),
            (_, oid) => self.relation(oid),
        }
    }
}
