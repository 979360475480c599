package adotest

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// wireTime is a time in the form of .NET: UTC, and no more than the seven
// fractional digits that a tick of 100 ns needs.
type wireTime time.Time

// MarshalJSON drops trailing zeros, as recorded traffic does.
func (t wireTime) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.9999999Z"`)), nil
}

// IsZero serves omitzero.
func (t wireTime) IsZero() bool { return time.Time(t).IsZero() }

// guid returns the same identifier for the same object in every run.
func guid(kind string, number int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", kind, number))
	sum[6] = sum[6]&0x0f | 0x40
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

type wireLink struct {
	Href string `json:"href"`
}

// wireIdentity is who made a pool; nobody needs more than its shape.
type wireIdentity struct {
	DisplayName string              `json:"displayName"`
	URL         string              `json:"url"`
	Links       map[string]wireLink `json:"_links"`
	ID          string              `json:"id"`
	UniqueName  string              `json:"uniqueName"`
	ImageURL    string              `json:"imageUrl"`
	Descriptor  string              `json:"descriptor"`
}

func identity(c *call) wireIdentity {
	id := guid("user", 1)
	avatar := c.base + "/_apis/GraphProfile/MemberAvatars/" + id
	return wireIdentity{
		DisplayName: "Project Collection Service (adotest)",
		URL:         c.base + "/_apis/Identities/" + id,
		Links:       map[string]wireLink{"avatar": {avatar}},
		ID:          id,
		UniqueName:  "adotest@example.com",
		ImageURL:    avatar,
		Descriptor:  "s2s.YWRvdGVzdA",
	}
}

type wireLinks struct {
	Web  wireLink `json:"web"`
	Self wireLink `json:"self"`
}

// wireRequest is a job request in the order of the SDK's data contract. Fields
// that are null there are left out.
type wireRequest struct {
	RequestID        int64             `json:"requestId"`
	QueueTime        wireTime          `json:"queueTime,omitzero"`
	AssignTime       wireTime          `json:"assignTime,omitzero"`
	ReceiveTime      wireTime          `json:"receiveTime,omitzero"`
	FinishTime       wireTime          `json:"finishTime,omitzero"`
	Result           string            `json:"result,omitzero"`
	LockedUntil      wireTime          `json:"lockedUntil,omitzero"`
	ServiceOwner     string            `json:"serviceOwner"`
	HostID           string            `json:"hostId"`
	ScopeID          string            `json:"scopeId"`
	PlanType         string            `json:"planType"`
	PlanID           string            `json:"planId"`
	JobID            string            `json:"jobId"`
	JobName          string            `json:"jobName,omitzero"`
	Demands          []string          `json:"demands,omitempty"`
	ReservedAgent    *wireAgent        `json:"reservedAgent,omitzero"`
	MatchedAgents    []wireAgent       `json:"matchedAgents,omitempty"`
	Definition       *wireReference    `json:"definition,omitzero"`
	Owner            *wireReference    `json:"owner,omitzero"`
	Data             map[string]string `json:"data"`
	PoolID           int               `json:"poolId"`
	AgentDelays      *[]struct{}       `json:"agentDelays,omitzero"`
	OrchestrationID  string            `json:"orchestrationId"`
	MatchesAllAgents bool              `json:"matchesAllAgentsInPool,omitzero"`
	StatusMessage    string            `json:"statusMessage,omitzero"`
	Priority         *int              `json:"priority,omitzero"`
}

type wireReference struct {
	Links wireLinks `json:"_links"`
	ID    int64     `json:"id"`
	Name  string    `json:"name"`
}
