package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
)

// A million rows must not be walked: each of these statements uses its index, and sorts nothing but recipients.
func TestPlans(t *testing.T) {
	s, _ := fresh(t)
	put(t, s, flowAlert("x"), "ops@hook")
	list := func(f Filter) string {
		q, _, err := s.listQuery(t.Context(), f)
		ok(t, err)
		return q
	}
	for name, c := range map[string]struct {
		query string
		want  []string
		sorts bool
	}{
		"head":         {sqlHead, []string{"USING COVERING INDEX due (recipient=? AND not_before<?)", "SEARCH r USING INDEX recipient_of"}, true},
		"due":          {sqlDue, []string{"INDEX due (recipient=? AND not_before<?)", "SEARCH a USING INTEGER PRIMARY KEY"}, false},
		"next":         {sqlNext, []string{"INDEX due (recipient=?)", "SEARCH r USING INDEX recipient_of", "SEARCH q USING PRIMARY KEY"}, false},
		"engage":       {sqlEngage, []string{"INDEX engaged (key=? AND seq<?)", "INDEX by_alert (alert=? AND recipient=?)"}, false},
		"take":         {sqlTake, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"settle":       {sqlSettle, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"tried":        {sqlTried, []string{"SEARCH attempt USING PRIMARY KEY (delivery=?)", "SEARCH delivery USING PRIMARY KEY (id=?)"}, true},
		"fresh":        {sqlFreshIDs, []string{"SEARCH q USING PRIMARY KEY (id>?)"}, false},
		"first":        {sqlFirst, []string{"COVERING INDEX due (recipient=?)"}, false},
		"unpark":       {sqlUnpark, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"put":          {sqlPut, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"uncount":      {sqlUncount, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"revive":       {sqlRevive, []string{"SEARCH delivery USING PRIMARY KEY"}, false},
		"expire":       {sqlExpire, []string{"COVERING INDEX waiting (recipient=? AND severity=? AND since<?)"}, false},
		"late":         {sqlLate, []string{"COVERING INDEX waiting (recipient=? AND severity=? AND since<?)"}, false},
		"oldest":       {sqlOldest, []string{"INDEX waiting (recipient=? AND severity=?)"}, false},
		"prune":        {sqlPrunable, []string{"SEARCH a USING INTEGER PRIMARY KEY (rowid>?)", "INDEX by_alert (alert=?)"}, false},
		"silence":      {sqlSilence, []string{"SEARCH silence USING PRIMARY KEY (recipient=? AND same=?)"}, false},
		"same leased":  {sqlSameLeased, []string{"COVERING INDEX same_leased (recipient=? AND same=?)"}, false},
		"silence all":  {sqlSilenceAll, []string{"SEARCH delivery USING PRIMARY KEY", "COVERING INDEX same_queued (recipient=? AND same=?)"}, false},
		"park same":    {sqlParkSame, []string{"SEARCH delivery USING PRIMARY KEY", "INDEX same_queued (recipient=? AND same=?)"}, false},
		"unpark same":  {sqlUnparkSame, []string{"SEARCH delivery USING PRIMARY KEY", "INDEX same_queued (recipient=? AND same=?)"}, false},
		"quiet all":    {sqlQuietAll, []string{"SEARCH delivery USING PRIMARY KEY", "INDEX due (recipient=? AND not_before<?)", "SEARCH a USING INTEGER PRIMARY KEY"}, false},
		"follow":       {sqlFollow, []string{"INDEX by_alert (alert=? AND recipient=?)", "COVERING INDEX engaged (key=? AND seq<?)"}, false},
		"end silences": {sqlEndSilence, []string{"SEARCH silence USING PRIMARY KEY", "INDEX silence_ended (until<?)"}, false},
		"newest":       {list(Filter{Before: alert.NewID()}), []string{"SEARCH d USING PRIMARY KEY (id<?)"}, false},
		"queued":       {list(Filter{States: []alert.State{alert.Queued}}), []string{"SEARCH d USING PRIMARY KEY (id=?)", "SEARCH q USING PRIMARY KEY (id>?)", "INDEX waiting"}, true},
		"leased":       {list(Filter{States: []alert.State{alert.Leased}}), []string{"SEARCH d USING PRIMARY KEY (id=?)", "SEARCH q USING PRIMARY KEY (id>?)", "INDEX leased"}, true},
		"dead":         {list(Filter{States: []alert.State{alert.Dead}, Recipient: "ops"}), []string{"INDEX dead"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			args := make([]any, strings.Count(c.query, "?"))
			if slices.Contains([]string{"head", "due", "tried", "fresh", "first", "next", "engage", "take", "settle", "unpark", "put", "uncount", "revive", "expire", "late", "oldest", "prune", "silence", "same leased", "silence all", "park same", "unpark same", "quiet all", "follow", "end silences"}, name) {
				args = args[:highest(c.query)]
			}
			var plan []string
			rows, err := s.reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+c.query, args...)
			ok(t, err)
			for rows.Next() {
				var a, b, n int
				var what string
				ok(t, rows.Scan(&a, &b, &n, &what))
				plan = append(plan, what)
			}
			ok(t, errors.Join(rows.Err(), rows.Close()))
			text := strings.Join(plan, "\n")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("the plan lacks %q:\n%s", want, text)
				}
			}
			small := map[string]bool{"SCAN 10-ROW VALUES CLAUSE": true, "SCAN r USING COVERING INDEX sqlite_autoindex_recipient_1": true}
			for _, line := range plan {
				if strings.HasPrefix(line, "SCAN") && !strings.Contains(line, "INDEX dead") && line != "SCAN v" && line != "SCAN fresh" && !strings.HasPrefix(line, "SCAN q USING COVERING INDEX") && !small[line] && line != "SCAN tried" {
					t.Errorf("%s in:\n%s", line, text)
				}
			}
			if !c.sorts && strings.Contains(text, "TEMP B-TREE") {
				t.Errorf("it sorts:\n%s", text)
			}
		})
	}
}

// highest gives the highest numbered parameter of a statement.
func highest(query string) int {
	for n := 14; n > 0; n-- {
		if strings.Contains(query, fmt.Sprintf("?%d", n)) {
			return n
		}
	}
	return 0
}
