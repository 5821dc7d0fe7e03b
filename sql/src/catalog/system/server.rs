//! The server and who is on it: settings, sessions, what is prepared, time zones.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS};

use super::Context;
use super::relation::{DATABASE, OWNER};
use super::rows::{Cell, Rows, time_cell};
use crate::session::{Kind, SETTINGS, ServerSetting, ServerValue, Setting, Unit};

const SETTING: [&str; 15] = [
    "name",
    "setting",
    "unit",
    "category",
    "short_desc",
    "context",
    "vartype",
    "source",
    "min_val",
    "max_val",
    "enumvals",
    "boot_val",
    "reset_val",
    "pending_restart",
    "sourceline",
];

/// The settings, those of the server and those of the session, by name.
pub(super) fn pg_settings(rows: &mut Rows, context: &Context) {
    rows.columns(&SETTING);
    let settings = &context.session.settings;
    let server = settings.server().iter();
    let mut all: Vec<(String, [Cell; SETTING.len()])> = server
        .map(|setting| (setting.name.to_ascii_lowercase(), of_server(setting)))
        .collect();
    let own = SETTINGS.iter();
    all.extend(own.map(|s| (s.name.to_ascii_lowercase(), of_session(s, context))));
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (_, row) in all {
        rows.push(row);
    }
}

fn of_server(setting: &ServerSetting) -> [Cell; SETTING.len()] {
    let (unit, kind, least, greatest, default) = match &setting.value {
        ServerValue::Number {
            default,
            least,
            unit,
            ..
        } => (
            unit.name(),
            "integer",
            Some(*least),
            Some(i64::MAX),
            default.to_string(),
        ),
        ServerValue::Text(_) => (None, "string", None, None, String::new()),
    };
    [
        setting.name.into(),
        setting.plain().into(),
        unit.into(),
        "Server".into(),
        setting.about.into(),
        "postmaster".into(),
        kind.into(),
        setting.source.name().into(),
        least.into(),
        greatest.into(),
        Cell(None),
        default.into(),
        setting.plain().into(),
        false.into(),
        Cell(None),
    ]
}

fn of_session(setting: &'static Setting, context: &Context) -> [Cell; SETTING.len()] {
    let (now, initial) = (
        context.session.settings.value(setting),
        context.session.initial.value(setting),
    );
    let (kind, least, greatest) = match setting.kind {
        Kind::Bool => ("bool", None, None),
        Kind::Integer(least, greatest) => ("integer", Some(least), Some(greatest)),
        Kind::Milliseconds => ("integer", Some(0), Some(i64::from(i32::MAX))),
        Kind::OneOf(_) => ("enum", None, None),
        Kind::Fixed if matches!(setting.default, "on" | "off") => ("bool", None, None),
        Kind::Fixed if setting.default.parse::<i64>().is_ok() => ("integer", None, None),
        _ => ("string", None, None),
    };
    let choices = match setting.kind {
        Kind::OneOf(values) => Some(format!("{{\"{}\"}}", values.join("\",\""))),
        _ => None,
    };
    let is_time = setting.kind == Kind::Milliseconds;
    let is_fixed = setting.kind == Kind::Fixed;
    [
        setting.name.into(),
        now.into(),
        is_time
            .then_some(Unit::Milliseconds.name())
            .flatten()
            .into(),
        if is_fixed {
            "Preset Options"
        } else {
            "Client Connection Defaults"
        }
        .into(),
        setting.about.into(),
        if is_fixed { "internal" } else { "user" }.into(),
        kind.into(),
        match (now == initial, initial == setting.default) {
            (false, _) => "session",
            (true, false) => "client",
            (true, true) => "default",
        }
        .into(),
        least.into(),
        greatest.into(),
        choices.into(),
        setting.default.into(),
        initial.into(),
        false.into(),
        Cell(None),
    ]
}

/// The sessions.
pub(super) fn pg_stat_activity(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "client_addr",
        "client_port",
        "backend_start",
        "xact_start",
        "query_start",
        "state_change",
        "state",
        "query",
        "backend_type",
    ]);
    for session in context.session.activities.list() {
        let address = session.client.map(|client| client.ip().to_canonical());
        rows.push([
            DATABASE.into(),
            context.session.database.as_str().into(),
            session.pid.into(),
            OWNER.into(),
            session.user.into(),
            session.application_name.into(),
            address.map(|address| address.to_string()).into(),
            session.client.map(|client| i32::from(client.port())).into(),
            time_cell(session.connected_us),
            session.transaction_us.map_or(Cell(None), time_cell),
            session.statement_us.map_or(Cell(None), time_cell),
            time_cell(session.changed_us),
            session.state.into(),
            session.statement.into(),
            "client backend".into(),
        ]);
    }
}

/// The database. What is not counted is null.
pub(super) fn pg_stat_database(rows: &mut Rows, context: &Context) {
    rows.columns(&["datid", "datname", "numbackends"]);
    rows.push([
        DATABASE.into(),
        context.session.database.as_str().into(),
        context.session.activities.count().into(),
    ]);
}

/// What `PREPARE` made in this session.
pub(super) fn pg_prepared_statements(rows: &mut Rows, context: &Context) {
    rows.columns(&[
        "name",
        "statement",
        "parameter_types",
        "from_sql",
        "generic_plans",
        "custom_plans",
    ]);
    for (name, prepared) in context.session.prepared.iter() {
        let types = prepared.params.iter().map(|ty| ty.name());
        let types: Vec<String> = types.map(|name| format!("\"{name}\"")).collect();
        rows.push([
            name.as_str().into(),
            prepared.parsed.text.as_str().into(),
            format!("{{{}}}", types.join(",")).into(),
            true.into(),
            (prepared.runs.generic.load(Ordering::Relaxed) as i64).into(),
            (prepared.runs.custom.load(Ordering::Relaxed) as i64).into(),
        ]);
    }
}

/// The time zones that have a name, as they are now.
pub(super) fn pg_timezone_names(rows: &mut Rows, context: &Context) {
    rows.columns(&["name", "abbrev", "utc_offset", "is_dst"]);
    let now = DateTime::from_timestamp_micros(context.session.now_us);
    let now = now.unwrap_or_default().naive_utc();
    for zone in TZ_VARIANTS {
        let offset = zone.offset_from_utc_datetime(&now);
        let seconds = offset.fix().local_minus_utc();
        rows.push([
            zone.name().into(),
            offset.abbreviation().into(),
            format!("{seconds} seconds").into(),
            (!offset.dst_offset().is_zero()).into(),
        ]);
    }
}
