//! The error that a client sees: SQLSTATE, message, detail, hint, position.
//!
//! Codes are PostgreSQL's (<https://www.postgresql.org/docs/16/errcodes-appendix.html>), and so is
//! the wording wherever PostgreSQL has words for the same fault.

use std::fmt;

/// The result of everything a session is asked.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// A five-character SQLSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: SqlState = SqlState(*$code);)*
        }
    };
}

states! {
    /// No fault: the code of notices.
    SUCCESSFUL_COMPLETION = b"00000";
    /// The client broke the protocol.
    PROTOCOL_VIOLATION = b"08P01";
    /// The server cannot be connected to in this way.
    CONNECTION_EXCEPTION = b"08000";
    /// Known to PostgreSQL, absent here.
    FEATURE_NOT_SUPPORTED = b"0A000";
    /// A value is too long for its column.
    STRING_TOO_LONG = b"22001";
    /// A number does not fit its type.
    NUMERIC_OUT_OF_RANGE = b"22003";
    /// Text is not a date or time.
    INVALID_DATETIME_FORMAT = b"22007";
    /// A date or time outside the range of its type.
    DATETIME_OVERFLOW = b"22008";
    /// Division by zero.
    DIVISION_BY_ZERO = b"22012";
    /// More rows than may be.
    CARDINALITY_VIOLATION = b"21000";
    /// Bytes that are not UTF-8.
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    /// An argument or setting outside what it may be.
    INVALID_PARAMETER_VALUE = b"22023";
    /// Text is not a value of the type.
    INVALID_TEXT_REPRESENTATION = b"22P02";
    /// Bytes are not a binary value of the type.
    INVALID_BINARY_REPRESENTATION = b"22P03";
    /// COPY data with the wrong shape.
    BAD_COPY_FILE_FORMAT = b"22P04";
    /// NULL in a NOT NULL column.
    NOT_NULL_VIOLATION = b"23502";
    /// A key twice.
    UNIQUE_VIOLATION = b"23505";
    /// Not possible within a transaction.
    ACTIVE_SQL_TRANSACTION = b"25001";
    /// A write in a read-only transaction.
    READ_ONLY_SQL_TRANSACTION = b"25006";
    /// No transaction is under way.
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    /// The transaction has failed; only ROLLBACK goes on.
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    /// No such prepared statement.
    INVALID_SQL_STATEMENT_NAME = b"26000";
    /// Others need it.
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01";
    /// Who logs in may not.
    INVALID_AUTHORIZATION = b"28000";
    /// No such portal or cursor.
    INVALID_CURSOR_NAME = b"34000";
    /// No such savepoint.
    INVALID_SAVEPOINT = b"3B001";
    /// No such database.
    INVALID_CATALOG_NAME = b"3D000";
    /// No such schema.
    INVALID_SCHEMA_NAME = b"3F000";
    /// Somebody changed the same rows first; the transaction may be tried again.
    SERIALIZATION_FAILURE = b"40001";
    /// Not SQL.
    SYNTAX_ERROR = b"42601";
    /// The role may not do this.
    INSUFFICIENT_PRIVILEGE = b"42501";
    /// A name with reserved meaning.
    RESERVED_NAME = b"42939";
    /// The same column twice.
    DUPLICATE_COLUMN = b"42701";
    /// A column name that several tables have.
    AMBIGUOUS_COLUMN = b"42702";
    /// No such column.
    UNDEFINED_COLUMN = b"42703";
    /// No such type or setting.
    UNDEFINED_OBJECT = b"42704";
    /// The type, setting or statement exists already.
    DUPLICATE_OBJECT = b"42710";
    /// A function call that several functions fit.
    AMBIGUOUS_FUNCTION = b"42725";
    /// A column outside GROUP BY and aggregates.
    GROUPING_ERROR = b"42803";
    /// Types that do not go together.
    DATATYPE_MISMATCH = b"42804";
    /// The object is of another kind.
    WRONG_OBJECT_TYPE = b"42809";
    /// A cast that does not exist.
    CANNOT_COERCE = b"42846";
    /// No such function for these types.
    UNDEFINED_FUNCTION = b"42883";
    /// No such table.
    UNDEFINED_TABLE = b"42P01";
    /// No such parameter.
    UNDEFINED_PARAMETER = b"42P02";
    /// The cursor exists already.
    DUPLICATE_CURSOR = b"42P03";
    /// The prepared statement exists already.
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    /// The table exists already.
    DUPLICATE_TABLE = b"42P07";
    /// A column list that cannot be.
    INVALID_COLUMN_REFERENCE = b"42P10";
    /// A table definition that cannot be.
    INVALID_TABLE_DEFINITION = b"42P16";
    /// The type of a parameter cannot be told.
    INDETERMINATE_DATATYPE = b"42P18";
    /// The disk is full.
    DISK_FULL = b"53100";
    /// Memory is used up.
    OUT_OF_MEMORY = b"53200";
    /// Too many clients.
    TOO_MANY_CONNECTIONS = b"53300";
    /// A configured limit was reached.
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    /// A limit of the program was reached.
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    /// The statement is too long or too deep.
    STATEMENT_TOO_COMPLEX = b"54001";
    /// Too many columns.
    TOO_MANY_COLUMNS = b"54011";
    /// Not in the state that this needs.
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    /// A setting that cannot change now.
    CANT_CHANGE_RUNTIME_PARAM = b"55P02";
    /// The client asked to stop, or time is up.
    QUERY_CANCELED = b"57014";
    /// The server stops.
    ADMIN_SHUTDOWN = b"57P01";
    /// The server is not ready.
    CANNOT_CONNECT_NOW = b"57P03";
    /// The operating system refused a file.
    IO_ERROR = b"58030";
    /// A bug of ours.
    INTERNAL_ERROR = b"XX000";
    /// Bytes on disk are not what was written.
    DATA_CORRUPTED = b"XX001";
}

/// An error as the client gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlError {
    /// What kind of fault.
    pub state: SqlState,
    /// Lower case, no full stop.
    pub message: String,
    /// More about it, whole sentences.
    pub detail: Option<String>,
    /// What to do, whole sentences.
    pub hint: Option<String>,
    /// Where in the statement's text, in characters from 1.
    pub position: Option<usize>,
    /// Where in the data: `COPY orders, line 3, column gross: "abc"`.
    pub context: Option<String>,
}

impl SqlError {
    /// An error with a message alone.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        SqlError {
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
        }
    }

    /// Something PostgreSQL has and this server has not.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("{what} is not supported"),
        )
    }

    /// A bug of ours; the message says where.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message)
    }

    /// The same with a detail.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a position in the statement, in characters from 1.
    pub fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// The same with a place in the data.
    pub fn in_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state.as_str(), self.message)
    }
}

impl std::error::Error for SqlError {}
