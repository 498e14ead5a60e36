package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/wecom"
)

// wechatRoom is a bed for a robot, by a key, and with "called", whom the robot calls for the worst.
func wechatRoom(t testing.TB, robot *wecom.Robot, key string) *bed {
	t.Helper()
	return newRoom(t, "wechat", fmt.Sprintf(`wechat_url = "%s/cgi-bin/webhook/send?key=%s"`, serving(t, robot), key), "",
		recipientTOML("called", "wechat", `mentioned_list = ["zhangsan", "@all"]`, `minimum_severity = "emergency"`))
}

const wechatKey = "693a91f6-0000-4bc4-97a0-0ec2sifa5aaa"

// TestWeChat sends alerts through the real module to a strict stand-in: more than a robot may send one by one, busy at first, hostile
// and far too long ones among them, and one that calls people.
func TestWeChat(t *testing.T) {
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	robot := &wecom.Robot{Key: wechatKey}
	robot.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			wecom.Say(w, wecom.Busy, "")
		}
		return n == 1
	}
	b := wechatRoom(t, robot, wechatKey).start()
	alerts := []*alert.Alert{scanAt(alert.Engage, at), scanAt(alert.Release, at.Add(time.Minute))}
	for i := range 30 {
		alerts = append(alerts, flowAt(i, at))
	}
	evil := flowAt(99, at)
	evil.Title, evil.Message = "**<@all>** `[x](javascript:1)</font>", strings.Repeat("<@zhangsan> ** ` \r\n\u202e &#64; 🚨", 3000)
	evil.Flow.Hostname = "<font color=\"info\">[a](http://b)"
	worst := flowAt(100, at)
	worst.Severity, worst.Message = alert.Emergency, evil.Message
	b.raise(append(alerts, evil, worst)...)
	b.settled("ops", alert.Delivered, len(alerts)+2)
	b.settled("called", alert.Delivered, 1)

	all, called, marked := "", 0, 0
	posted := robot.Taken()
	for _, m := range posted {
		all += m.Content + "\n"
		switch {
		case m.Markdown:
			marked++
			if len(m.Mentioned) != 0 {
				t.Errorf("%v are mentioned in %s", m.Mentioned, m.Content)
			}
		case fmt.Sprint(m.Mentioned) == "[zhangsan @all]":
			called++
			if !strings.HasPrefix(m.Content, "🔴 TLS certificate expired\nEmergency · score 100\n＜@zhangsan＞") || !strings.Contains(m.Content, "\n10.0.0.100:40100") {
				t.Errorf("called with %q", m.Content)
			}
		default:
			t.Errorf("got %+v", m)
		}
	}
	if called != 1 || marked < 4 || marked > 17 {
		t.Errorf("%d messages with a call and %d without, for %d alerts", called, marked, len(alerts)+2)
	}
	for _, want := range []string{
		"🟠 **Scan**\n<font color=\"warning\">Error</font> · score 100 · Started\nA scan.\n`192.0.2.7` (attacker) · VLAN 3\nmeasured 412, limit 256\n" +
			"<font color=\"comment\">2026-03-14 03:00:00 UTC</font>",
		"✅ **Scan**\n<font color=\"info\">Error</font> · score 100 · Ended\n",
		"**\u2217\u2217＜@\u200ball＞\u2217\u2217 ˋ[x］(javascript:1)＜/font＞**",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if n := strings.Count(all, "**TLS certificate expired**"); n != 31 {
		t.Errorf("%d of 31 flows arrived as Markdown", n)
	}
}

// TestWeChatSamples sends every sample alert in both languages, as the test of a recipient does: the stand-in takes all of them, and
// none mentions anybody.
func TestWeChatSamples(t *testing.T) {
	robot := &wecom.Robot{Key: wechatKey, Unlimited: true}
	if want := wechatRoom(t, robot, wechatKey).samples(wechatKey); len(robot.Taken()) != want {
		t.Errorf("%d messages of %d", len(robot.Taken()), want)
	}
	for _, m := range robot.Taken() {
		if !m.Markdown || len(m.Mentioned) > 0 || strings.ContainsAny(m.Content, "\u202e\x1b\r") {
			t.Errorf("%+v", m)
		}
	}
}

// TestWeChatKey tries an address with a wrong key and one with the right key, and posts nothing.
func TestWeChatKey(t *testing.T) {
	robot := &wecom.Robot{Key: wechatKey}
	for key, want := range map[string]string{wechatKey: "", "wrong-key-0123456789": "check wechat_url"} {
		out, err := wechatRoom(t, robot, key).tryEndpoint("wechat")
		switch {
		case want == "" && err != nil:
			t.Errorf("%v: %s", err, out)
		case want != "" && (err == nil || !strings.Contains(out, "into wechat_url")):
			t.Errorf("%v: %s", err, out)
		}
		if strings.Contains(out+fmt.Sprint(err), key) {
			t.Error("the key is shown")
		}
	}
	if got := robot.Taken(); len(got) != 0 {
		t.Errorf("%+v were posted", got)
	}
}
