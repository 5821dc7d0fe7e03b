//! `INTERVAL '1 day 02:00'`: a cast of its text, which is read as PostgreSQL reads intervals.
//! DataFusion would read it itself, and knows fewer forms.

use datafusion::sql::sqlparser::ast::{
    DataType, DateTimeField, Expr, Interval, Value, WindowFrameBound, WindowSpec,
};

use super::build::cast_to;

/// A literal as a cast.
pub(super) fn interval(expr: &mut Expr) {
    let Expr::Interval(Interval {
        value,
        leading_field,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }) = expr
    else {
        return;
    };
    let Expr::Value(value) = &**value else {
        return;
    };
    let Value::SingleQuotedString(text) = &value.value else {
        return;
    };
    // The field says what a bare number counts; what has units has them.
    let text = match leading_field {
        Some(field) if text.trim().parse::<f64>().is_ok() => match unit(field) {
            Some(unit) => format!("{text} {unit}"),
            None => return,
        },
        Some(_) => return,
        None => text.clone(),
    };
    let ty = DataType::Interval {
        fields: None,
        precision: None,
    };
    *expr = cast_to(Expr::Value(Value::SingleQuotedString(text).into()), ty);
}

fn unit(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Year | DateTimeField::Years => "years",
        DateTimeField::Month | DateTimeField::Months => "months",
        DateTimeField::Day | DateTimeField::Days => "days",
        DateTimeField::Hour | DateTimeField::Hours => "hours",
        DateTimeField::Minute | DateTimeField::Minutes => "minutes",
        DateTimeField::Second | DateTimeField::Seconds => "seconds",
        _ => return None,
    })
}

/// Bounds of a window frame are literals to DataFusion, not expressions.
pub(super) fn restore_bounds(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else {
        return;
    };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        if let WindowFrameBound::Preceding(Some(expr)) | WindowFrameBound::Following(Some(expr)) =
            bound
            && let Expr::Cast {
                expr: inner,
                data_type: DataType::Interval { .. },
                ..
            } = &mut **expr
            && matches!(**inner, Expr::Value(_))
        {
            let value = Box::new(super::build::take(inner));
            **expr = Expr::Interval(Interval {
                value,
                leading_field: None,
                leading_precision: None,
                last_field: None,
                fractional_seconds_precision: None,
            });
        }
    }
}
