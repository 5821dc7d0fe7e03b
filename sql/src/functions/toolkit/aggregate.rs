//! Aggregates that summarise rows, as DataFusion wants them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

use super::args::{Arg, coerce, no_such_call};
use super::summary::Folding;
use crate::error::SqlError;
use crate::types::{PgType, SummaryKind};

/// An aggregate over arguments of these types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    pub(super) name: &'static str,
    pub(super) takes: &'static [Arg],
    pub(super) gives: SummaryKind,
    /// Takes rows in.
    pub(super) fold: &'static dyn Folding,
}

/// All that have one name.
#[derive(Debug)]
struct Aggregate {
    name: &'static str,
    builds: Vec<Build>,
    signature: Signature,
}

// The name tells the function.
impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Aggregate {}

impl std::hash::Hash for Aggregate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// One function for each name.
pub(super) fn by_name(builds: &[Build]) -> Vec<AggregateUDF> {
    let mut all: Vec<Aggregate> = Vec::new();
    for build in builds {
        match all.iter_mut().find(|one| one.name == build.name) {
            Some(one) => one.builds.push(*build),
            None => all.push(Aggregate {
                name: build.name,
                builds: vec![*build],
                signature: Signature::user_defined(Volatility::Immutable),
            }),
        }
    }
    all.into_iter().map(AggregateUDF::from).collect()
}

/// The field of a summary.
pub(super) fn field(kind: SummaryKind, name: &str) -> FieldRef {
    Arc::new(PgType::Summary(kind).field(name, true))
}

/// States do not tell which rows they have seen.
///
/// # Errors
/// 0A000 for `DISTINCT`, where it could not be made a grouping.
pub(super) fn refuse_distinct(name: &str, args: &AccumulatorArgs<'_>) -> Result<()> {
    if !args.is_distinct {
        return Ok(());
    }
    let error = SqlError::unsupported(format!("{name} with DISTINCT"))
        .with_hint("Select the distinct rows in a subquery.");
    Err(DataFusionError::External(Box::new(error)))
}

impl Aggregate {
    fn build(&self, types: &[DataType]) -> Result<(&Build, Vec<DataType>)> {
        let mut builds = self.builds.iter();
        builds
            .find_map(|build| Some((build, coerce(build.takes, types)?)))
            .ok_or_else(|| no_such_call(self.name, types))
    }

    fn build_of_fields(&self, fields: &[FieldRef]) -> Result<&Build> {
        let types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(self.build(&types)?.0)
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.build(types)?.1)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        Ok(field(self.build_of_fields(fields)?.gives, self.name))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "summary");
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        refuse_distinct(self.name, &args)?;
        Ok(self.build_of_fields(args.expr_fields)?.fold.one())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.build_of_fields(args.expr_fields)?.fold.groups())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}
