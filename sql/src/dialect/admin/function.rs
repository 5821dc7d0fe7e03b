//! [`AdminFunction`]: TimescaleDB's administrative functions and procedures, by name.

macro_rules! functions {
    ($($variant:ident = $name:literal;)*) => {
        /// A function, or a procedure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum AdminFunction {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl AdminFunction {
            /// The function of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Some(match name {
                    $($name => AdminFunction::$variant,)*
                    _ => return None,
                })
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(AdminFunction::$variant => $name,)*
                }
            }
        }
    };
}

functions! {
    CreateHypertable = "create_hypertable";
    AddRetentionPolicy = "add_retention_policy";
    RemoveRetentionPolicy = "remove_retention_policy";
    DropChunks = "drop_chunks";
    ShowChunks = "show_chunks";
    RefreshContinuousAggregate = "refresh_continuous_aggregate";
    AddContinuousAggregatePolicy = "add_continuous_aggregate_policy";
    RemoveContinuousAggregatePolicy = "remove_continuous_aggregate_policy";
    AddCompressionPolicy = "add_compression_policy";
    RemoveCompressionPolicy = "remove_compression_policy";
    AddColumnstorePolicy = "add_columnstore_policy";
    RemoveColumnstorePolicy = "remove_columnstore_policy";
    AddReorderPolicy = "add_reorder_policy";
    RemoveReorderPolicy = "remove_reorder_policy";
    CompressChunk = "compress_chunk";
    DecompressChunk = "decompress_chunk";
    ConvertToColumnstore = "convert_to_columnstore";
    ConvertToRowstore = "convert_to_rowstore";
    AddJob = "add_job";
    AlterJob = "alter_job";
    DeleteJob = "delete_job";
    RunJob = "run_job";
}

impl AdminFunction {
    /// Whether it is a procedure: `CALL` runs it, a query does not, and it answers no rows.
    pub fn is_procedure(self) -> bool {
        matches!(
            self,
            AdminFunction::RefreshContinuousAggregate
                | AdminFunction::AddColumnstorePolicy
                | AdminFunction::RemoveColumnstorePolicy
                | AdminFunction::ConvertToColumnstore
                | AdminFunction::ConvertToRowstore
                | AdminFunction::RunJob
        )
    }
}
