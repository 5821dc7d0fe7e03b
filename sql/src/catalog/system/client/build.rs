//! Expressions that the rules put in.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Value,
};

/// The parts of a name.
pub(super) fn words(name: &ObjectName) -> Vec<&str> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect()
}

/// A null of a type.
pub(super) fn null(data_type: DataType) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Null.into())),
        data_type,
        array: false,
        format: None,
    }
}

/// `CASE WHEN condition THEN result END`
pub(super) fn when(condition: Expr, result: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![ast::CaseWhen { condition, result }],
        else_result: None,
    }
}

/// `name(args)`
pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    call_of(name, args.into_iter().map(FunctionArgExpr::Expr).collect())
}

/// `name(*)`
pub(super) fn call_with_star(name: &str) -> Expr {
    call_of(name, vec![FunctionArgExpr::Wildcard])
}

fn call_of(name: &str, args: Vec<FunctionArgExpr>) -> Expr {
    Expr::Function(Function {
        name: Ident::new(name).into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(FunctionArg::Unnamed).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
