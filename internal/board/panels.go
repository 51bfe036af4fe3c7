package board

// kind is how a panel shows its answers.
type kind int

const (
	lines kind = iota // over time
	big               // the newest value, large
)

// query is one expression of a panel. $connector is the dashboard's variable,
// $__rate_interval Grafana's.
type query struct {
	expr   string
	legend string
}

// panel is one panel of the dashboard.
type panel struct {
	title, help string
	kind        kind
	unit        string // Grafana's name of it
	width       uint32 // of 24 columns
	queries     []query
	// warn and alarm are the values from which a stat turns yellow and red; 0: never.
	warn, alarm float64
	stacked     bool
}

// row is a titled part of the dashboard.
type row struct {
	title  string
	panels []panel
}

// rows is the dashboard. Metrics of the mesh are the same in every worker, hence max;
// those of a worker are summed (docs/observability.md).
var rows = []row{
	{"Now", []panel{
		{title: "Since the last completed run", kind: big, unit: "s", width: 6, warn: 3600, alarm: 4 * 3600,
			help:    "Runs that held deletes count: they wrote everything else.",
			queries: []query{{`time() - max by (connector) (identitymesh_run_ended_timestamp_seconds{connector=~"$connector",outcome=~"completed|held_deletes",mode=~"full|delta"})`, "{{connector}}"}}},
		{title: "Since the last full walk", kind: big, unit: "s", width: 6, warn: 8 * 86400, alarm: 15 * 86400,
			queries: []query{{`time() - max by (connector) (identitymesh_run_ended_timestamp_seconds{connector=~"$connector",outcome=~"completed|held_deletes",mode="full"})`, "{{connector}}"}}},
		{title: "Deletes that wait for an operator", kind: big, unit: "short", width: 6, warn: 1,
			queries: []query{{`sum by (connector) (max by (connector, type) (identitymesh_deletes_held{connector=~"$connector"}))`, "{{connector}}"}}},
		{title: "Workers", kind: big, unit: "short", width: 6,
			queries: []query{{`count(identitymesh_build_info)`, "scraped"}, {`sum(identitymesh_mesh_up)`, "that reach the mesh"}}},
	}},
	{"Runs", []panel{
		{title: "Age of the last completed run", unit: "s", width: 12,
			help:    "The watermark moves with it: a delta reads what changed in this time.",
			queries: []query{{`time() - max by (connector, mode) (identitymesh_run_ended_timestamp_seconds{connector=~"$connector",outcome=~"completed|held_deletes"})`, "{{connector}} {{mode}}"}}},
		{title: "Runs that ended in an hour", unit: "short", width: 12, stacked: true,
			queries: []query{{`sum by (outcome) (max by (connector, mode, outcome) (increase(identitymesh_runs_total{connector=~"$connector"}[1h])))`, "{{outcome}}"}}},
		{title: "How long the last run took", unit: "s", width: 12,
			queries: []query{{`max by (connector, mode, outcome) (identitymesh_run_duration_seconds{connector=~"$connector"})`, "{{connector}} {{mode}} {{outcome}}"}}},
		{title: "Changes written to the feed", unit: "cps", width: 12, stacked: true,
			queries: []query{{`sum by (type, operation) (max by (connector, type, operation) (rate(identitymesh_changes_total{connector=~"$connector"}[$__rate_interval])))`, "{{type}} {{operation}}"}}},
		{title: "Objects that the changes add up to", unit: "short", width: 12,
			help: "Adds less deletes: what runs have put into the mesh and not taken out.",
			queries: []query{{`sum by (type) (max by (connector, type) (identitymesh_changes_total{connector=~"$connector",operation="add"})) - sum by (type) (max by (connector, type) (identitymesh_changes_total{connector=~"$connector",operation="delete"}))`,
				"{{type}}"}}},
		{title: "Age of the watermark", unit: "s", width: 12,
			queries: []query{{`time() - max by (connector, type) (identitymesh_watermark_timestamp_seconds{connector=~"$connector"})`, "{{connector}} {{type}}"}}},
	}},
	{"Okta", []panel{
		{title: "Calls by endpoint", unit: "reqps", width: 12, stacked: true,
			queries: []query{{`sum by (endpoint) (rate(identitymesh_okta_calls_total{connector=~"$connector"}[$__rate_interval]))`, "{{endpoint}}"}}},
		{title: "Calls by status", unit: "reqps", width: 12, stacked: true,
			queries: []query{{`sum by (status) (rate(identitymesh_okta_calls_total{connector=~"$connector"}[$__rate_interval]))`, "{{status}}"}}},
		{title: "Budget left in the window", unit: "percentunit", width: 12,
			help:    "As Okta's X-Rate-Limit headers say; the connector stops at RateLimitReserve.",
			queries: []query{{`min by (org, bucket) (identitymesh_okta_rate_limit_remaining_calls / (identitymesh_okta_rate_limit_calls > 0))`, "{{org}} {{bucket}}"}}},
		{title: "Time spent waiting for the rate limit", unit: "percentunit", width: 12,
			help:    "A wait counts in full when it begins.",
			queries: []query{{`sum by (connector, bucket) (rate(identitymesh_okta_rate_limit_wait_seconds_sum{connector=~"$connector"}[$__rate_interval]))`, "{{connector}} {{bucket}}"}}},
		{title: "95 % of calls are faster than", unit: "s", width: 12,
			queries: []query{{`histogram_quantile(0.95, sum by (endpoint, le) (rate(identitymesh_okta_call_latency_seconds_bucket[$__rate_interval])))`, "{{endpoint}}"}}},
		{title: "Calls in flight", unit: "short", width: 12,
			queries: []query{{`sum by (org) (identitymesh_okta_in_flight_calls)`, "{{org}}"}}},
	}},
	{"Throughput", []panel{
		{title: "Pages", unit: "cps", width: 8, stacked: true,
			queries: []query{{`sum by (type) (rate(identitymesh_pages_total{connector=~"$connector"}[$__rate_interval]))`, "{{type}}"}}},
		{title: "Objects read", unit: "cps", width: 8, stacked: true,
			queries: []query{{`sum by (type) (rate(identitymesh_objects_read_total{connector=~"$connector"}[$__rate_interval]))`, "{{type}}"}}},
		{title: "Time for a page", unit: "s", width: 8,
			queries: []query{
				{`sum(rate(identitymesh_store_latency_seconds_sum[$__rate_interval])) / (sum(rate(identitymesh_store_latency_seconds_count[$__rate_interval])) > 0)`, "writing"},
				{`sum(rate(identitymesh_mapping_latency_seconds_sum[$__rate_interval])) / (sum(rate(identitymesh_mapping_latency_seconds_count[$__rate_interval])) > 0)`, "mapping"},
			}},
	}},
	{"Workers", []panel{
		{title: "Free slots", unit: "short", width: 8, help: "0: the worker is full.",
			queries: []query{{`min by (worker_type, instance) (temporal_worker_task_slots_available{worker_type=~"ActivityWorker|WorkflowWorker"})`, "{{instance}} {{worker_type}}"}}},
		{title: "Activities wait for a worker", unit: "s", width: 8, help: "95 % of them shorter.",
			queries: []query{{`histogram_quantile(0.95, sum by (le) (rate(temporal_activity_schedule_to_start_latency_seconds_bucket[$__rate_interval])))`, "schedule to start"}}},
		{title: "Trouble", unit: "cps", width: 8,
			queries: []query{
				{`sum by (backend) (rate(identitymesh_secret_resolve_failures_total[$__rate_interval]))`, "secrets: {{backend}}"},
				{`sum by (sink) (rate(identitymesh_notifications_total{result="failed"}[$__rate_interval]))`, "notifications: {{sink}}"},
			}},
		{title: "Memory", unit: "bytes", width: 8,
			queries: []query{{`process_resident_memory_bytes and on (instance) identitymesh_build_info`, "{{instance}}"}}},
		{title: "CPU", unit: "short", width: 8, help: "Cores in use.",
			queries: []query{{`rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) identitymesh_build_info`, "{{instance}}"}}},
		{title: "Goroutines", unit: "short", width: 8,
			queries: []query{{`go_goroutines and on (instance) identitymesh_build_info`, "{{instance}}"}}},
	}},
}
