//! `time_bucket_gapfill`, `locf` and `interpolate`, as far as they are functions.
//!
//! A query that groups by the first is planned with the missing buckets (see the plan's
//! `gapfill`), and the other two say what is in them. Wherever that is not asked for, the first is
//! `time_bucket` and the others are their first argument, as in TimescaleDB.

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::time_bucket::TimeBucket;
use crate::error::{SqlError, SqlState};
use crate::types::PgType;

/// Names of the functions.
pub(crate) const GAPFILL: &str = "time_bucket_gapfill";
pub(crate) const LOCF: &str = "locf";
pub(crate) const INTERPOLATE: &str = "interpolate";

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// The functions.
pub(super) fn functions() -> Vec<ScalarUDF> {
    // Plans of them are made for the values at hand: they are not immutable.
    let signature = || Signature::user_defined(Volatility::Stable);
    let marker = |name| Marker {
        name,
        signature: signature(),
    };
    vec![
        ScalarUDF::from(TimeBucketGapfill {
            inner: TimeBucket::new(),
            signature: signature(),
        }),
        ScalarUDF::from(marker(LOCF)),
        ScalarUDF::from(marker(INTERPOLATE)),
    ]
}

/// `time_bucket_gapfill(width, time [, zone] [, start, finish])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucketGapfill {
    inner: TimeBucket,
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucketGapfill {
    fn name(&self) -> &str {
        GAPFILL
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (Some(width), Some(value)) = (types.first(), types.get(1)) else {
            return Err(no_such_function(GAPFILL, types));
        };
        if value.is_integer() || value.is_null() && width.is_integer() {
            return numbers(types, value);
        }
        let value = match value {
            DataType::Timestamp(_, zone) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            DataType::Date32 | DataType::Date64 => DataType::Date32,
            // Text is taken for an instant, as PostgreSQL resolves it.
            ty if is_text(ty) || ty.is_null() => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            _ => return Err(no_such_function(GAPFILL, types)),
        };
        let is_time = |ty: &DataType| {
            is_text(ty)
                || matches!(
                    ty,
                    DataType::Timestamp(..) | DataType::Date32 | DataType::Null
                )
        };
        let is_width = matches!(width, DataType::Interval(_) | DataType::Null) || is_text(width);
        if !is_width || types.len() > 5 || !types[2..].iter().all(is_time) {
            return Err(no_such_function(GAPFILL, types));
        }
        let has_zone = matches!(value, DataType::Timestamp(_, Some(_)));
        let third = match (types.get(2), types.len()) {
            (Some(third), 3 | 4) if has_zone && is_text(third) => DataType::Utf8,
            (Some(third), 5) if has_zone && (is_text(third) || third.is_null()) => DataType::Utf8,
            (_, 5) => return Err(no_such_function(GAPFILL, types)),
            _ => value.clone(),
        };
        let mut out = vec![INTERVAL, value.clone(), third];
        out.resize(types.len().max(3), value);
        out.truncate(types.len());
        Ok(out)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let has_zone = args
            .arg_fields
            .get(2)
            .is_some_and(|f| is_text(f.data_type()));
        let kept = if has_zone { 3 } else { 2 };
        args.args.truncate(kept);
        args.arg_fields.truncate(kept);
        self.inner.invoke_with_args(args)
    }
}

/// All arguments have the type of the value.
fn numbers(types: &[DataType], value: &DataType) -> Result<Vec<DataType>> {
    let is_number = |ty: &DataType| ty.is_integer() || ty.is_null();
    if types.len() > 4 || !types.iter().all(is_number) {
        return Err(no_such_function(GAPFILL, types));
    }
    let value = match value {
        DataType::Int16 | DataType::Int32 => value.clone(),
        _ => DataType::Int64,
    };
    Ok(vec![value; types.len()])
}

/// `locf(value [, prev [, treat_null_as_missing]])` and `interpolate(value [, prev [, next]])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = match self.name {
            LOCF => locf(types),
            _ => interpolate(types),
        };
        coerced.ok_or_else(|| no_such_function(self.name, types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}

fn locf(types: &[DataType]) -> Option<Vec<DataType>> {
    let value = types.first()?;
    let fits = |prev: &DataType| {
        prev == value
            || prev.is_null()
            || is_text(prev)
            || comparison_coercion(value, prev).as_ref() == Some(value)
    };
    let is_flag = |ty: &DataType| matches!(ty, DataType::Boolean | DataType::Null);
    if types.len() > 3 || !types.get(1).is_none_or(fits) || !types.get(2).is_none_or(is_flag) {
        return None;
    }
    let mut out = vec![value.clone(), value.clone(), DataType::Boolean];
    out.truncate(types.len());
    Some(out)
}

fn interpolate(types: &[DataType]) -> Option<Vec<DataType>> {
    let value = match types.first()? {
        ty @ (DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64) => ty.clone(),
        ty if ty.is_integer() => DataType::Int64,
        // A numeric is taken for a double, as PostgreSQL resolves it.
        ty if ty.is_numeric() || ty.is_null() => DataType::Float64,
        _ => return None,
    };
    let is_record = |ty: &DataType| matches!(ty, DataType::Struct(_) | DataType::Null);
    if types.len() > 3 || !types[1..].iter().all(is_record) {
        return None;
    }
    let mut out = types.to_vec();
    out[0] = value;
    Some(out)
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8
    )
}

fn no_such_function(name: &str, types: &[DataType]) -> DataFusionError {
    let name_of = |ty: &DataType| match ty {
        DataType::Struct(_) => "record".to_owned(),
        ty => PgType::of_arrow(ty).name(),
    };
    let types: Vec<String> = types.iter().map(name_of).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(
        "No function matches the given name and argument types. You might need to add explicit type casts.",
    );
    DataFusionError::External(Box::new(error))
}
