//! What all summaries do: they merge, and become bytes and summaries again.

use std::fmt::Debug;

use datafusion::arrow::array::{Array, ArrayRef, BinaryArray, cast::AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Accumulator, GroupsAccumulator};

use super::bytes::{Reader, Writer};
use super::groups::Groups;
use crate::error::SqlState;
use crate::functions::fault;
use crate::types::SummaryKind;

/// The longest summary, in bytes: what a row of a result may be.
const BYTES_MAX: usize = 64 << 20;

/// What many rows were summarised to.
///
/// Merging is commutative, and the order of merges makes no difference but where a family says so.
pub(super) trait Summary: Debug + Send + Sync + Sized + 'static {
    /// Its type.
    fn kind(&self) -> SummaryKind;

    /// Writes the body. It is settled.
    fn write(&self, out: &mut Writer);

    /// Reads a body; `None` if it is not one of this kind.
    fn read(kind: SummaryKind, from: &mut Reader<'_>) -> Option<Self>;

    /// Adds what another has summarised.
    ///
    /// # Errors
    /// When the two were made with other parameters.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// Memory beyond the struct, in bytes.
    fn size(&self) -> usize {
        0
    }

    /// Does what was put off.
    fn settle(&mut self) {}

    /// What the aggregate answers where that is less than its state.
    fn answer(&self) -> Option<Self> {
        None
    }
}

/// A summary as bytes.
///
/// # Errors
/// 54000 when it is too long.
pub(super) fn encode<S: Summary>(summary: &mut S) -> Result<Vec<u8>> {
    summary.settle();
    let mut out = Writer::new(summary.kind().code());
    summary.write(&mut out);
    let bytes = out.finish();
    if bytes.len() > BYTES_MAX {
        let message = format!("a value of type {} is too long", summary.kind().name());
        return Err(fault(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    Ok(bytes)
}

/// The kind of an encoded summary.
pub(super) fn kind_of(bytes: &[u8]) -> Option<SummaryKind> {
    let (code, _) = Reader::open(bytes)?;
    SummaryKind::of_code(code)
}

/// A summary out of bytes, which may be anything.
///
/// # Errors
/// 22P03 when they are no such summary.
pub(super) fn decode<S: Summary>(bytes: &[u8]) -> Result<S> {
    let read = || {
        let (code, mut from) = Reader::open(bytes)?;
        let summary = S::read(SummaryKind::of_code(code)?, &mut from)?;
        from.is_at_end().then_some(summary)
    };
    read().ok_or_else(|| invalid(bytes))
}

/// Bytes that are no summary.
pub(super) fn invalid(bytes: &[u8]) -> DataFusionError {
    let message = match kind_of(bytes) {
        Some(kind) => format!("invalid binary value of type {}", kind.name()),
        None => "invalid binary value of a summary".to_owned(),
    };
    fault(SqlState::INVALID_BINARY_REPRESENTATION, message)
}

/// An argument that is out of range.
pub(super) fn out_of_range(message: impl Into<String>) -> DataFusionError {
    fault(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// Summaries that cannot be merged.
pub(super) fn mismatch(kind: SummaryKind) -> DataFusionError {
    let name = kind.name();
    out_of_range(format!(
        "values of type {name} with different parameters cannot be combined"
    ))
}

/// A column of summaries.
pub(super) fn binary(column: &ArrayRef) -> Result<BinaryArray> {
    match column.as_binary_opt::<i32>() {
        Some(values) => Ok(values.clone()),
        None => Ok(cast(column, &DataType::Binary)?.as_binary().clone()),
    }
}

/// Where rows go: into one summary, or each into that of its group.
#[derive(Debug)]
pub(super) enum Sink<'a, S> {
    One(&'a mut Option<S>),
    /// All summaries, and the number of each row's.
    Groups(&'a mut [Option<S>], &'a [usize]),
}

impl<S> Sink<'_, S> {
    /// The summary of a row: nothing before the first that counts.
    #[inline]
    pub(super) fn of_row(&mut self, row: usize) -> &mut Option<S> {
        match self {
            Sink::One(summary) => summary,
            Sink::Groups(summaries, groups) => &mut summaries[groups[row]],
        }
    }
}

/// Takes rows of arguments in.
pub(super) type Update<S> = fn(&mut Sink<'_, S>, &[ArrayRef]) -> Result<()>;

/// How rows become summaries of a type, without naming the type.
pub(super) trait Folding: Debug + Send + Sync {
    /// Begins one group.
    fn one(&self) -> Box<dyn Accumulator>;

    /// Begins many groups.
    fn groups(&self) -> Box<dyn GroupsAccumulator>;
}

/// Summaries that an update makes.
#[derive(Debug)]
pub(super) struct Of<S>(pub(super) Update<S>);

impl<S: Summary> Folding for Of<S> {
    fn one(&self) -> Box<dyn Accumulator> {
        Box::new(Fold {
            summary: None,
            update: self.0,
        })
    }

    fn groups(&self) -> Box<dyn GroupsAccumulator> {
        Box::new(Groups::new(self.0))
    }
}

/// Merges summaries.
pub(super) fn rollup<S: Summary>(sink: &mut Sink<'_, S>, columns: &[ArrayRef]) -> Result<()> {
    let values = binary(&columns[0])?;
    for row in (0..values.len()).filter(|&row| values.is_valid(row)) {
        let other = decode(values.value(row))?;
        match sink.of_row(row) {
            Some(summary) => summary.merge(other)?,
            none => *none = Some(other),
        }
    }
    Ok(())
}

/// The bytes that an aggregate answers.
///
/// # Errors
/// 54000 when they are too many.
pub(super) fn answer<S: Summary>(summary: &mut S) -> Result<Vec<u8>> {
    summary.settle();
    match summary.answer() {
        Some(mut answer) => encode(&mut answer),
        None => encode(summary),
    }
}

/// An aggregation under way, of a group.
#[derive(Debug)]
struct Fold<S> {
    /// Nothing before the first row that counts.
    summary: Option<S>,
    update: Update<S>,
}

impl<S: Summary> Accumulator for Fold<S> {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        (self.update)(&mut Sink::One(&mut self.summary), columns)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        rollup(&mut Sink::One(&mut self.summary), states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bytes = self.summary.as_mut().map(encode).transpose()?;
        Ok(vec![ScalarValue::Binary(bytes)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let bytes = self.summary.as_mut().map(answer).transpose()?;
        Ok(ScalarValue::Binary(bytes))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.summary.as_ref().map_or(0, Summary::size)
    }
}
