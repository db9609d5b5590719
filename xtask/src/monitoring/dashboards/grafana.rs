//! Renders dashboards as the JSON that Grafana imports. Panels flow from left to right in 24
//! columns.

use serde_json::{Value, json};

use super::{Dashboard, Kind, Panel, Query, Section, Unit, Variable, expression};
use crate::monitoring::{Params, words};

/// The version of this JSON format (read by Grafana 11 and later).
const SCHEMA_VERSION: u32 = 39;
/// The number of columns.
const COLUMNS: u32 = 24;

/// A dashboard.
pub(super) fn dashboard(dashboard: &Dashboard, params: &Params) -> Value {
    let Dashboard { uid, title, about, variables, sections } = dashboard;
    let mut list = vec![datasource_variable()];
    list.extend(variables.iter().map(variable));
    json!({
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["backlog-trace"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "links": [{
            "type": "dashboards",
            "title": "Accept queues",
            "tags": ["backlog-trace"],
            "asDropdown": false,
            "includeVars": true,
            "keepTime": true,
        }],
        "templating": { "list": list },
        "panels": panels(sections, params),
    })
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn datasource_variable() -> Value {
    json!({ "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus" })
}

fn variable(variable: &Variable) -> Value {
    let Variable { label, metric, within, is_single } = variable;
    let chosen: Vec<String> = within.iter().map(|label| format!("{label}=~\"${label}\"")).collect();
    json!({
        "name": label,
        "type": "query",
        "datasource": datasource(),
        "query": format!("label_values({metric}{{{}}}, {label})", chosen.join(",")),
        // Refresh when the time range changes, and when the page is loaded.
        "refresh": 2,
        "sort": 1,
        "multi": !is_single,
        "includeAll": !is_single,
        "allValue": if *is_single { Value::Null } else { json!(".*") },
    })
}

/// The panels of each section, below its title.
fn panels(sections: &[Section], params: &Params) -> Vec<Value> {
    let mut made = Vec::new();
    let mut y = 0;
    for section in sections {
        made.push(json!({
            "id": made.len() + 1,
            "type": "row",
            "title": section.title,
            "collapsed": false,
            "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            "panels": [],
        }));
        y += 1;
        let mut x = 0;
        let mut line = 0;
        for panel in section.panels {
            let (width, height) = size(panel.kind);
            if x + width > COLUMNS {
                x = 0;
                y += line;
                line = 0;
            }
            let place = json!({ "x": x, "y": y, "w": width, "h": height });
            made.push(one(panel, made.len() + 1, &place, params));
            x += width;
            line = line.max(height);
        }
        y += line;
    }
    made
}

const fn size(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Number => (6, 4),
        Kind::Lines | Kind::Heatmap | Kind::Table => (12, 8),
    }
}

fn one(panel: &Panel, id: usize, place: &Value, params: &Params) -> Value {
    let Panel { title, about, kind, unit, queries } = panel;
    let targets: Vec<Value> =
        ('A'..).zip(*queries).map(|(letter, query)| target(letter, query, *kind, params)).collect();
    let mut made = json!({
        "id": id,
        "type": kind.name(),
        "title": title,
        "description": words::parameters(about, params),
        "datasource": datasource(),
        "gridPos": place,
        "fieldConfig": {
            "defaults": { "unit": unit.name(), "min": 0, "links": links(*kind) },
            "overrides": [],
        },
        "options": options(*kind),
        "targets": targets,
    });
    if *kind == Kind::Table
        && let Some(fields) = made.as_object_mut()
    {
        // In a table of current values, the time is of no use.
        let hide = json!([{ "id": "organize", "options": { "excludeByName": { "Time": true } } }]);
        fields.insert("transformations".to_owned(), hide);
    }
    made
}

fn target(letter: char, query: &Query, kind: Kind, params: &Params) -> Value {
    let now = matches!(kind, Kind::Number | Kind::Table);
    let format = match kind {
        Kind::Number | Kind::Lines => "time_series",
        Kind::Heatmap => "heatmap",
        Kind::Table => "table",
    };
    json!({
        "refId": letter.to_string(),
        "datasource": datasource(),
        "expr": expression(query, params),
        "legendFormat": words::parameters(query.legend, params),
        "format": format,
        "instant": now,
        "range": !now,
    })
}

/// Links from a row to the dashboards of its host and listener.
fn links(kind: Kind) -> Value {
    if kind != Kind::Lines {
        return json!([]);
    }
    let label = |name: &str| format!("var-{name}=${{__field.labels.{name}}}");
    let listener = ["instance", "netns", "address", "port", "process"].map(label).join("&");
    let link = |title: &str, uid: &str, variables: &str| json!({ "title": title, "url": format!("/d/{uid}?{variables}&${{__url_time_range}}") });
    json!([
        link("This host", "backlog-host", &label("instance")),
        link("This listener", "backlog-listener", &listener),
    ])
}

fn options(kind: Kind) -> Value {
    match kind {
        Kind::Number => json!({
            "colorMode": "value",
            "graphMode": "none",
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        }),
        Kind::Lines => json!({
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true },
            "tooltip": { "mode": "multi", "sort": "desc" },
        }),
        Kind::Heatmap => json!({ "calculate": false, "yAxis": { "unit": "s" } }),
        Kind::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Number => "stat",
            Self::Lines => "timeseries",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
        }
    }
}

impl Unit {
    /// The name in Grafana.
    const fn name(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::PerSecond => "cps",
            Self::Ratio => "percentunit",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
        }
    }
}
