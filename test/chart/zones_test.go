package chart_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestZones wants a note about time zones that this machine does not know, and about
// no others. Helm cannot refuse them: the scaler may know more zones.
func TestZones(t *testing.T) {
	known := []string{"Europe/Berlin", "Asia/Tokyo", "Africa/Abidjan", "Etc/GMT", "UTC", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal"}
	unknown := []string{"Europe/Berln", "Etc/Nowhere"}
	var pools strings.Builder
	for i, zone := range append(known, unknown...) {
		fmt.Fprintf(&pools, "\n- pool: pool-%d", i)
		for _, key := range []string{"warm", "warmNodes"} {
			fmt.Fprintf(&pools, "\n  %s: {timeZone: %s, periods: [{from: '08:00', to: '18:00', minIdle: 1}]}", key, zone)
		}
	}
	rendered, err := files(t, parse(t, basis+"agentPools:"+pools.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"warm", "warmNodes"} {
		if got := strings.Count(rendered[notes], ": "+key+".timeZone: "); got != len(unknown) {
			t.Errorf("%d notes about %s.timeZone, want %d:\n%s", got, key, len(unknown), rendered[notes])
		}
		for _, zone := range unknown {
			if want := key + ".timeZone: this machine does not know the time zone " + zone + "."; !strings.Contains(rendered[notes], want) {
				t.Errorf("the notes lack %q", want)
			}
		}
	}
}
