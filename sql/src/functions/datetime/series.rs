//! `generate_series(start, stop, step)` of times, in FROM: rows as they are wanted, not a list.
//!
//! DataFusion's knows times of nanoseconds only; of numbers it is asked.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{
    DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, Schema, SchemaRef,
    TimestampMicrosecondType,
};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, stream};

use super::{INTERVAL, TIMESTAMP, is_infinite, out_of_range, plus, timestamptz};
use crate::error::SqlState;
use crate::functions::interval::microseconds;
use crate::functions::{convert, fault};
use crate::types::{FormatSettings, Zone};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// The table function of a session.
#[derive(Debug)]
pub(crate) struct Series(pub(crate) FormatSettings);

impl TableFunctionImpl for Series {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        match self.times(args.exprs())? {
            Some(table) => Ok(table),
            None => {
                datafusion::functions_table::generate_series().create_table_provider_with_args(args)
            }
        }
    }
}

impl Series {
    /// The series, if it is one of times.
    fn times(&self, args: &[Expr]) -> Result<Option<Arc<dyn TableProvider>>> {
        let [start, stop, step] = args else {
            return Ok(None);
        };
        let (Some(start), Some(stop), Some(step)) =
            (start.as_literal(), stop.as_literal(), step.as_literal())
        else {
            return Ok(None);
        };
        let types = [start.data_type(), stop.data_type()];
        let has = |is: fn(&DataType) -> bool| types.iter().any(is);
        if !has(|ty| matches!(ty, DataType::Timestamp(..) | DataType::Date32)) {
            return Ok(None);
        }
        // PostgreSQL has the function for both kinds of timestamp; dates become its preferred one.
        let is_zoned = has(|ty| matches!(ty, DataType::Timestamp(_, Some(_))))
            || !has(|ty| matches!(ty, DataType::Timestamp(_, None)));
        let zone = is_zoned.then(|| self.0.time_zone.clone());
        let ty = zone.as_ref().map_or(TIMESTAMP, timestamptz);
        let (start, stop) = (self.value(start, &ty)?, self.value(stop, &ty)?);
        let step = self.value(step, &INTERVAL)?;
        let schema = Arc::new(Schema::new(vec![Field::new("value", ty, true)]));
        let steps = if start.is_null(0) || stop.is_null(0) || step.is_null(0) {
            None
        } else {
            let time = |array: &ArrayRef| array.as_primitive::<TimestampMicrosecondType>().value(0);
            let step = step.as_primitive::<IntervalMonthDayNanoType>().value(0);
            Some(Steps::new(time(&start), time(&stop), step, zone)?)
        };
        let rows = Rows {
            schema: schema.clone(),
            steps,
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(rows)])?;
        Ok(Some(Arc::new(table)))
    }

    /// A constant of the type, as an array of one row.
    fn value(&self, value: &ScalarValue, ty: &DataType) -> Result<ArrayRef> {
        let from = Field::new("", value.data_type(), true);
        let to = Field::new("", ty.clone(), true);
        convert(&value.to_array()?, &from, &to, &self.0)
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

/// What of a series is still to come.
#[derive(Debug, Clone)]
struct Steps {
    next: Option<i64>,
    stop: i64,
    step: IntervalMonthDayNano,
    is_down: bool,
    zone: Option<Zone>,
}

impl Steps {
    fn new(start: i64, stop: i64, step: IntervalMonthDayNano, zone: Option<Zone>) -> Result<Self> {
        let length = microseconds(step);
        if length == 0 {
            return Err(fault(
                SqlState::INVALID_PARAMETER_VALUE,
                "step size cannot equal zero",
            ));
        }
        if is_infinite(start) || is_infinite(stop) {
            return Err(out_of_range());
        }
        Ok(Steps {
            next: Some(start),
            stop,
            step,
            is_down: length < 0,
            zone,
        })
    }

    fn batch(&mut self) -> Result<Vec<i64>> {
        let mut times = Vec::with_capacity(BATCH_ROWS);
        while let Some(time) = self.next {
            let is_over = if self.is_down {
                time < self.stop
            } else {
                time > self.stop
            };
            if is_over {
                self.next = None;
            } else if times.len() == BATCH_ROWS {
                break;
            } else {
                times.push(time);
                // A step that leads nowhere (+1 month -30 days) would never end.
                let next = plus(time, self.step, self.zone.as_ref())?;
                self.next = (next != time).then_some(next);
            }
        }
        Ok(times)
    }
}

/// The series as a partition that is read from its beginning each time.
#[derive(Debug)]
struct Rows {
    schema: SchemaRef,
    steps: Option<Steps>,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = self.schema.clone();
        let batches = stream::iter(self.steps.clone()).flat_map(move |steps| {
            let schema = schema.clone();
            stream::try_unfold(steps, move |mut steps| {
                let schema = schema.clone();
                async move {
                    let times = steps.batch()?;
                    if times.is_empty() {
                        return Ok(None);
                    }
                    let times = TimestampMicrosecondArray::from(times);
                    let ty = schema.field(0).data_type().clone();
                    let zone = match ty {
                        DataType::Timestamp(_, zone) => zone,
                        _ => None,
                    };
                    let column: ArrayRef = Arc::new(times.with_timezone_opt(zone));
                    let batch = RecordBatch::try_new(schema, vec![column])?;
                    Ok(Some((batch, steps)))
                }
            })
        });
        Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            Box::pin(batches),
        ))
    }
}
