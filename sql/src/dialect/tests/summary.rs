//! A statement on one line.

use super::super::{
    AdminValue, Copy, CopyHeader, CopySource, CreateTable, ForceColumns, Statement,
};

pub(super) fn summary(statement: &Statement) -> String {
    match statement {
        Statement::Query(query) => format!("Query {query}"),
        Statement::Insert(insert) => format!("Insert {insert}"),
        Statement::Update(update) => format!("Update {update}"),
        Statement::Delete(delete) => format!("Delete {delete}"),
        Statement::CreateTable(table) => create_table(table),
        Statement::Copy(copy) => self::copy(copy),
        Statement::Explain(explain) => format!(
            "Explain analyze={} verbose={} costs={} {:?}: {}",
            explain.analyze,
            explain.verbose,
            explain.costs,
            explain.format,
            summary(&explain.statement)
        ),
        Statement::Prepare(prepare) => format!(
            "Prepare {} {:?} {:?}: {}",
            prepare.name,
            prepare.types,
            prepare.text,
            summary(&prepare.statement)
        ),
        Statement::Execute(execute) => {
            let arguments: Vec<String> =
                execute.arguments.iter().map(ToString::to_string).collect();
            format!("Execute {}({})", execute.name, arguments.join(", "))
        }
        Statement::Declare(declare) => format!(
            "Declare {} binary={} scroll={:?} hold={}: {}",
            declare.name, declare.binary, declare.scroll, declare.hold, declare.query
        ),
        Statement::Admin(call) => {
            let arguments: Vec<String> = call
                .arguments
                .iter()
                .map(|argument| match &argument.name {
                    Some(name) => format!("{name} => {}", value(&argument.value)),
                    None => value(&argument.value),
                })
                .collect();
            format!(
                "Admin {:?}({}) as {:?}",
                call.function,
                arguments.join(", "),
                call.column
            )
        }
        other => format!("{other:?}"),
    }
}

fn value(value: &AdminValue) -> String {
    match value {
        AdminValue::Expression(expr) => format!("Expression({expr})"),
        AdminValue::Dimension { kind, column, size } => {
            let size = size
                .as_ref()
                .map_or_else(|| "-".to_owned(), |size| self::value(size));
            format!("{kind:?}({column}, {size})")
        }
        other => format!("{other:?}"),
    }
}

fn create_table(table: &CreateTable) -> String {
    let columns = table.columns.iter().map(|column| {
        let default = column
            .default
            .as_ref()
            .map(|default| format!(" default {default}"));
        let not_null = if column.not_null { " not null" } else { "" };
        format!(
            "{} {}{not_null}{}",
            column.name,
            column.ty.name(),
            default.unwrap_or_default()
        )
    });
    format!(
        "CreateTable {} if_not_exists={} [{}] key={:?} options={:?}",
        table.name,
        table.if_not_exists,
        columns.collect::<Vec<_>>().join(", "),
        table.primary_key,
        table.options
    )
}

fn copy(copy: &Copy) -> String {
    let source = match &copy.source {
        CopySource::Table { name, columns } => format!("{name} {columns:?}"),
        CopySource::Query(query) => format!("({query})"),
    };
    let options = &copy.options;
    let mut text = format!(
        "Copy {:?} {source} {:?} delimiter={:?} null={:?}",
        copy.direction,
        options.format,
        char::from(options.delimiter),
        options.null
    );
    if options.header != CopyHeader::Absent {
        text += &format!(" header={:?}", options.header);
    }
    text += &format!(
        " quote={:?} escape={:?}",
        char::from(options.quote),
        char::from(options.escape)
    );
    for (name, columns) in [
        ("force_quote", &options.force_quote),
        ("force_not_null", &options.force_not_null),
        ("force_null", &options.force_null),
    ] {
        if *columns != ForceColumns::None {
            text += &format!(" {name}={columns:?}");
        }
    }
    text
}
