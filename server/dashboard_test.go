package server

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// dashboard is what these tests read of Grafana's format.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []struct{ Name string } }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, RefID string }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../deploy/grafana/kantor.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.UID != "kantor" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) == 0 {
		t.Errorf("uid %q, title %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	used := regexp.MustCompile(`\$\{?(\w+)`)
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q: its id or title is missing or another's", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("%q has no description, unit or query", p.Title)
		}
		for i, target := range p.Targets {
			if target.Expr == "" || target.RefID != string(rune('A'+i)) {
				t.Errorf("%q: query %d is %+v", p.Title, i, target)
			}
			for _, v := range used.FindAllStringSubmatch(target.Expr, -1) {
				if !variables[v[1]] {
					t.Errorf("%q uses $%s, which nothing sets", p.Title, v[1])
				}
			}
		}
	}
}

// Panels lie in Grafana's grid of 24 columns and none on another.
func TestDashboardPanelsDoNotOverlap(t *testing.T) {
	taken := map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		if p.GridPos.X < 0 || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H < 1 {
			t.Errorf("%q lies at %+v, outside of the grid", p.Title, p.GridPos)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%q and %q overlap at column %d, row %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

var seriesName = regexp.MustCompile(`\b(?:kantor|grpc_server|go|process)_[a-z_]+`)

// What the dashboard and the alerts ask for is there from the start or, of histograms, from the first evaluation.
func TestDashboardAndAlertsAskForWhatThereIs(t *testing.T) {
	s := start(t, Config{})
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Fatal(err)
	}
	series := map[string]bool{}
	for name, f := range scrape(t, s.Server) {
		if f.GetType() == dto.MetricType_HISTOGRAM {
			series[name+"_bucket"] = true
		} else {
			series[name] = true
		}
		if f.GetType() == dto.MetricType_HISTOGRAM || f.GetType() == dto.MetricType_SUMMARY {
			series[name+"_sum"], series[name+"_count"] = true, true
		}
	}
	alerts, err := os.ReadFile("../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asked := seriesName.FindAllString(string(alerts), -1)
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			asked = append(asked, seriesName.FindAllString(target.Expr, -1)...)
		}
	}
	if len(asked) < 40 {
		t.Errorf("only %d names were found, which proves little", len(asked))
	}
	for _, name := range asked {
		if !series[name] {
			t.Errorf("no scrape has %s", name)
		}
	}
}

// Every alert is documented, and every one that is documented exists.
func TestDocumentedAlertsAreThoseOfTheRules(t *testing.T) {
	rules, err := os.ReadFile("../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("../deploy/prometheus/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1)
	for _, name := range names {
		if !strings.Contains(string(text), "| `"+name[1]+"` |") {
			t.Errorf("%s is not documented", name[1])
		}
		if n := strings.Count(string(tests), "alertname: "+name[1]); n < 2 {
			t.Errorf("%s has %d tests, want one where it fires and one where it must not", name[1], n)
		}
	}
	if n := strings.Count(string(text), "| `Kantor"); n != len(names) {
		t.Errorf("%d alerts are documented, and there are %d", n, len(names))
	}
}
