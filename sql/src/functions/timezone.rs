//! `timezone(zone, time)`, which is what `time AT TIME ZONE zone` means.
//!
//! A `timestamptz` becomes the local time of that zone, a `timestamp` is taken for one and becomes an
//! instant.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::fault;
use crate::error::SqlState;
use crate::types::Zone;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Timezone {
    signature: Signature,
}

impl Timezone {
    pub(super) fn new() -> Self {
        Timezone {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Timezone {
    fn name(&self) -> &str {
        "timezone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [zone, time] = types else {
            return plan_err!("function timezone takes 2 arguments");
        };
        let zone = match zone {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                DataType::Utf8
            }
            _ => return plan_err!("function timezone takes a zone as text"),
        };
        let time = match time {
            DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
            // Text is taken for an instant, as PostgreSQL resolves it.
            _ => utc(),
        };
        Ok(vec![zone, time])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.get(1) {
            Some(DataType::Timestamp(_, None)) => Ok(utc()),
            _ => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let zones = cast(&args.args[0].clone().into_array(rows)?, &DataType::Utf8)?;
        let zones = zones.as_string::<i32>();
        let times = args.args[1].clone().into_array(rows)?;
        let to_local = !matches!(times.data_type(), DataType::Timestamp(_, None));
        let times = times.as_primitive::<TimestampMicrosecondType>();
        // The zone is nearly always the same one.
        let mut current: Option<(&str, Zone)> = None;
        let mut out = TimestampMicrosecondArray::builder(rows);
        for row in 0..rows {
            if zones.is_null(row) || times.is_null(row) {
                out.append_null();
                continue;
            }
            let name = zones.value(row);
            let zone = match &current {
                Some((known, zone)) if *known == name => zone,
                _ => &current.insert((name, zone(name)?)).1,
            };
            let time = times.value(row);
            out.append_value(if to_local {
                local(zone, time)
            } else {
                instant(zone, time)
            });
        }
        let mut out = out.finish();
        if !to_local {
            out = out.with_timezone("UTC");
        }
        let out = Arc::new(out) as _;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&out, 0)?));
        }
        Ok(ColumnarValue::Array(out))
    }
}

/// `timestamptz`.
pub(super) fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The zone of a name. A bare number is hours *west*, as in POSIX; `SET TimeZone` has it otherwise.
pub(super) fn zone(name: &str) -> Result<Zone> {
    let zone = match name.trim().parse::<f64>() {
        Ok(_) => Zone::parse(&format!("<z>{}", name.trim())),
        Err(_) => Zone::parse(name),
    };
    zone.ok_or_else(|| {
        fault(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("time zone \"{name}\" not recognized"),
        )
    })
}

/// The local time of an instant; both in microseconds since 1970.
pub(super) fn local(zone: &Zone, instant_us: i64) -> i64 {
    let offset = i64::from(zone.offset_at(instant_us.div_euclid(1_000_000)));
    instant_us.saturating_add(offset * 1_000_000)
}

/// The instant of a local time; both in microseconds since 1970.
pub(super) fn instant(zone: &Zone, local_us: i64) -> i64 {
    let offset = i64::from(zone.offset_of_local(local_us.div_euclid(1_000_000)));
    local_us.saturating_sub(offset * 1_000_000)
}
