//! Functions that ask a summary, as DataFusion wants them.
//!
//! One name may ask summaries of several types; the field of the argument tells which is meant. Some
//! expressions lose that, so that each value is asked by the kind in its bytes.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, TimestampMicrosecondArray,
    new_empty_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::args::{Arg, coerce, no_such_call, no_such_function};
use super::datum::Datum;
use super::summary::{binary, invalid, kind_of};
use crate::functions::columns::evaluate;
use crate::types::{PgType, SummaryKind};

/// Names that are aggregates of numbers too. Functions of such a name are called `summary_…`; a
/// query is rewritten to that where the argument is a summary.
const SHARED_NAMES: [&str; 3] = ["sum", "stddev", "corr"];

/// What a function answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Float,
    Int,
    Time,
    Floats,
    Ints,
    Times,
    Texts,
    /// An array of the type of this argument.
    ArrayOf(usize),
}

/// What it answers for one summary.
#[derive(Debug)]
pub(super) enum Answer {
    Float(f64),
    Int(i64),
    /// Microseconds since 1970.
    Time(i64),
    Array(Vec<Datum>),
}

/// Computes a row: the summary, and the other arguments, of which none is NULL.
pub(super) type Row = fn(&[u8], &[ScalarValue]) -> Result<Option<Answer>>;

/// One function over summaries of some types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) of: &'static [SummaryKind],
    pub(super) takes: &'static [Arg],
    pub(super) gives: Gives,
    pub(super) row: Row,
}

/// All that have one name.
#[derive(Debug, Clone)]
pub(super) struct Accessor {
    /// As it is registered.
    name: String,
    /// As it is called.
    called: &'static str,
    forms: Vec<Form>,
    /// The zone in which times are shown.
    zone: Arc<str>,
    signature: Signature,
}

impl PartialEq for Accessor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.zone == other.zone
    }
}

impl Eq for Accessor {}

impl std::hash::Hash for Accessor {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// One function for each name.
pub(super) fn by_name(forms: &[Form]) -> Vec<ScalarUDF> {
    let mut all: Vec<Accessor> = Vec::new();
    for form in forms {
        match all.iter_mut().find(|one| one.called == form.name) {
            Some(one) => one.forms.push(*form),
            None => all.push(Accessor {
                name: match SHARED_NAMES.contains(&form.name) {
                    true => format!("summary_{}", form.name),
                    false => form.name.to_owned(),
                },
                called: form.name,
                forms: vec![*form],
                zone: "UTC".into(),
                signature: Signature::user_defined(Volatility::Immutable),
            }),
        }
    }
    all.into_iter().map(ScalarUDF::from).collect()
}

impl Accessor {
    /// The forms that take arguments of these types, and the types that they are evaluated with.
    fn fitting(&self, types: &[DataType]) -> Result<(Vec<&Form>, Vec<DataType>)> {
        let forms = self.forms.iter();
        let fitting = forms.filter_map(|form| Some((form, coerce(form.takes, types)?)));
        let fitting: Vec<(&Form, Vec<DataType>)> = fitting.collect();
        let Some((_, types)) = fitting.first().cloned() else {
            return Err(no_such_call(self.called, types));
        };
        let alike = fitting.into_iter().filter(|(_, other)| *other == types);
        Ok((alike.map(|(form, _)| form).collect(), types))
    }

    fn type_of(&self, gives: Gives, fields: &[FieldRef]) -> DataType {
        let list = |ty: DataType| DataType::List(Arc::new(Field::new_list_field(ty, true)));
        let time = || DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.clone()));
        match gives {
            Gives::Float => DataType::Float64,
            Gives::Int => DataType::Int64,
            Gives::Time => time(),
            Gives::Floats => list(DataType::Float64),
            Gives::Ints => list(DataType::Int64),
            Gives::Times => list(time()),
            Gives::Texts => list(DataType::Utf8),
            Gives::ArrayOf(at) => {
                let Some(like) = fields.get(at) else {
                    return list(DataType::Utf8);
                };
                let item = like
                    .as_ref()
                    .clone()
                    .with_name(Field::LIST_FIELD_DEFAULT_NAME);
                DataType::List(Arc::new(item.with_nullable(true)))
            }
        }
    }

    /// What a call with such arguments answers.
    fn gives(&self, fields: &[FieldRef]) -> Result<Gives> {
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        let (fitting, _) = self.fitting(&types)?;
        let place = fitting[0].takes.iter().position(|arg| *arg == Arg::Summary);
        let asked = PgType::of_field(&fields[place.unwrap_or_default()]);
        if let PgType::Summary(kind) = asked {
            let mut fitting = fitting.iter();
            let found = fitting.find(|form| form.of.contains(&kind));
            return found
                .map(|form| form.gives)
                .ok_or_else(|| no_such_function(self.called, fields.iter().map(Arc::as_ref)));
        }
        // The kind is in the values alone: then all have to answer alike.
        let gives = fitting[0].gives;
        match fitting.iter().all(|form| form.gives == gives) {
            true => Ok(gives),
            false => Err(no_such_function(
                self.called,
                fields.iter().map(Arc::as_ref),
            )),
        }
    }

    fn answers(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<Answer>>> {
        let types: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
        let (fitting, _) = self.fitting(&types)?;
        let takes = fitting[0].takes;
        let place = takes.iter().position(|arg| *arg == Arg::Summary);
        let place = place.unwrap_or_default();
        let summaries = binary(&columns[place])?;
        let others: Vec<(usize, &ArrayRef)> = columns
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != place)
            .collect();
        let mut answers = Vec::with_capacity(rows);
        let mut args = Vec::with_capacity(others.len());
        for row in 0..rows {
            if summaries.is_null(row) {
                answers.push(None);
                continue;
            }
            let bytes = summaries.value(row);
            let kind = kind_of(bytes).ok_or_else(|| invalid(bytes))?;
            let Some(form) = fitting.iter().find(|form| form.of.contains(&kind)) else {
                let asked = PgType::Summary(kind).field("", true);
                return Err(no_such_function(self.called, std::iter::once(&asked)));
            };
            // An argument that only tells a type may be NULL.
            let is_dummy = |at: usize| form.gives == Gives::ArrayOf(at);
            if others
                .iter()
                .any(|(at, c)| c.is_null(row) && !is_dummy(*at))
            {
                answers.push(None);
                continue;
            }
            args.clear();
            for (_, column) in &others {
                args.push(ScalarValue::try_from_array(column, row)?);
            }
            answers.push((form.row)(bytes, &args)?);
        }
        Ok(answers)
    }
}

impl ScalarUDFImpl for Accessor {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.fitting(types)?.1)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{} is told its fields", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let gives = self.gives(args.arg_fields)?;
        let ty = self.type_of(gives, args.arg_fields);
        Ok(Arc::new(Field::new(self.called, ty, true)))
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let zone = config.execution.time_zone.as_deref()?;
        Some(ScalarUDF::from(Accessor {
            zone: zone.into(),
            ..self.clone()
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&args, |columns, rows| {
            column(self.answers(columns, rows)?, args.return_field.data_type())
        })
    }
}

/// Answers as a column of this type.
fn column(answers: Vec<Option<Answer>>, ty: &DataType) -> Result<ArrayRef> {
    let float = |answer: Option<Answer>| match answer {
        Some(Answer::Float(value)) => Some(value),
        _ => None,
    };
    let int = |answer: Option<Answer>| match answer {
        Some(Answer::Int(value) | Answer::Time(value)) => Some(value),
        _ => None,
    };
    let answers = answers.into_iter();
    Ok(match ty {
        DataType::Float64 => Arc::new(answers.map(float).collect::<Float64Array>()),
        DataType::Int64 => Arc::new(answers.map(int).collect::<Int64Array>()),
        DataType::Timestamp(_, zone) => {
            let times = answers.map(int).collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::List(item) => {
            let (mut lengths, mut nulls, mut items) = (Vec::new(), Vec::new(), Vec::new());
            for answer in answers {
                let before = items.len();
                nulls.push(answer.is_some());
                if let Some(Answer::Array(values)) = answer {
                    for value in values {
                        items.push(value.into_scalar(item.data_type())?);
                    }
                }
                lengths.push(items.len() - before);
            }
            let values = match items.is_empty() {
                true => new_empty_array(item.data_type()),
                false => ScalarValue::iter_to_array(items)?,
            };
            let offsets = OffsetBuffer::from_lengths(lengths);
            let nulls = Some(NullBuffer::from(nulls));
            Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?)
        }
        other => return internal_err!("a function over summaries answers no {other}"),
    })
}

/// Arguments of a row, by position without the summary.
pub(super) trait Arguments {
    fn float(&self, at: usize) -> Option<f64>;
    fn int(&self, at: usize) -> Option<i64>;
    fn text(&self, at: usize) -> Option<&str>;
}

impl Arguments for [ScalarValue] {
    fn float(&self, at: usize) -> Option<f64> {
        match self.get(at)? {
            ScalarValue::Float64(value) => *value,
            _ => None,
        }
    }

    fn int(&self, at: usize) -> Option<i64> {
        match self.get(at)? {
            ScalarValue::Int64(value) => *value,
            _ => None,
        }
    }

    fn text(&self, at: usize) -> Option<&str> {
        match self.get(at)? {
            ScalarValue::Utf8(value) => value.as_deref(),
            _ => None,
        }
    }
}
