package adotest

import (
	"maps"
	"slices"
	"strings"
)

// wireUser is the identity behind a credential.
type wireUser struct {
	ID                  string                  `json:"id"`
	Descriptor          string                  `json:"descriptor"`
	SubjectDescriptor   string                  `json:"subjectDescriptor"`
	ProviderDisplayName string                  `json:"providerDisplayName"`
	IsActive            bool                    `json:"isActive"`
	Properties          map[string]wireProperty `json:"properties"`
	ResourceVersion     int                     `json:"resourceVersion"`
	MetaTypeID          int                     `json:"metaTypeId"`
}

type wireProperty struct {
	Type  string `json:"$type"`
	Value string `json:"$value"`
}

// connectionData returns who the client is; it never was released, so a version
// with the flag -preview is needed.
func (s *Server) connectionData(_ *call) *answer {
	user := wireUser{
		ID:                  guid("user", 1),
		Descriptor:          `Microsoft.IdentityModel.Claims.ClaimsIdentity;adotest\user@example.com`,
		SubjectDescriptor:   "aad.YWRvdGVzdA",
		ProviderDisplayName: "adotest user",
		IsActive:            true,
		Properties:          map[string]wireProperty{"Account": {"System.String", "user@example.com"}},
		ResourceVersion:     2,
	}
	deployment := "hosted"
	if s.opts.Flavour != Services {
		deployment = "onPremises"
	}
	return ok(map[string]any{
		"authenticatedUser": user,
		"authorizedUser":    user,
		"instanceId":        guid("organization", 1),
		"deploymentId":      guid("deployment", 1),
		"deploymentType":    deployment,
		"locationServiceData": map[string]any{
			"serviceOwner":                guid("service", 1),
			"defaultAccessMappingMoniker": "HostGuidAccessMapping",
			"lastChangeId":                1,
			"lastChangeId64":              1,
		},
	})
}

// wireUsage is the use of parallel jobs, in the shape of Microsoft's typed
// client; nothing like it was seen in recorded traffic.
type wireUsage struct {
	Limit    wireLimit     `json:"resourceLimit"`
	Running  []wireRequest `json:"runningRequests"`
	Count    int           `json:"usedCount"`
	UsedMins int           `json:"usedMinutes"`
}

type wireLimit struct {
	HostID         string            `json:"hostId"`
	ParallelismTag string            `json:"parallelismTag"`
	IsHosted       bool              `json:"isHosted"`
	TotalCount     int               `json:"totalCount"`
	IsPremium      bool              `json:"isPremium"`
	Failed         bool              `json:"failedToReachAllProviders"`
	Data           map[string]string `json:"resourceLimitsData"`
}

// unlimitedJobs stands for no limit, as the service shows it for public projects.
const unlimitedJobs = 1<<31 - 1

func (s *Server) resourceUsage(c *call) *answer {
	public, hosted := strings.EqualFold(c.param("parallelismTag"), "Public"), c.flag("poolIsHosted")
	s.mu.Lock()
	defer s.mu.Unlock()
	usage := wireUsage{Running: []wireRequest{}, Limit: wireLimit{
		HostID:         guid("organization", 1),
		ParallelismTag: "Private",
		IsHosted:       hosted,
		TotalCount:     unlimitedJobs,
		Data:           map[string]string{},
	}}
	switch {
	case public:
		usage.Limit.ParallelismTag = "Public"
	case s.opts.ParallelJobs > 0 && !hosted:
		usage.Limit.TotalCount = s.opts.ParallelJobs
	}
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		q := s.requests[id]
		held := q.agent != nil && q.state() != Finished
		if !held || q.pool.Hosted != hosted || q.job.Public != public {
			continue
		}
		usage.Count++
		if c.flag("includeRunningRequests") {
			usage.Running = append(usage.Running, s.renderRequest(q, c, withoutMatches))
		}
	}
	return ok(usage)
}

// location is one line of the list of resources that Microsoft's clients ask
// for before anything else.
type location struct {
	ID           string `json:"id"`
	Area         string `json:"area"`
	Name         string `json:"resourceName"`
	Route        string `json:"routeTemplate"`
	Version      int    `json:"resourceVersion"`
	MinVersion   string `json:"minVersion"`
	MaxVersion   string `json:"maxVersion"`
	ReleasedUpTo string `json:"releasedVersion"`
}

// locations has the identifiers of recorded traffic.
func (s *Server) locations(_ *call) *answer {
	const pools = "_apis/{area}/pools/{poolId}/"
	accepted := s.opts.Flavour.versions()
	task := func(id, name, route string, version int) location {
		return location{id, "distributedtask", name, route, version, "1.0", accepted.latest.String(), accepted.released.String()}
	}
	usage := task("eae1d376-a8b1-4475-9041-1dfdbe8f0143", "resourceusage", "_apis/{area}/{resource}", 2)
	usage.ReleasedUpTo = "0.0"
	all := []location{
		task("a8c47e17-4d56-4a56-92bb-de7ea7dc65be", "pools", "_apis/{area}/{resource}/{poolId}", 1),
		task("e298ef32-5878-4cab-993c-043836571f42", "agents", pools+"{resource}/{agentId}", 1),
		task("fc825784-c92a-4299-9221-998a02d1b54f", "jobrequests", pools+"{resource}/{requestId}", 1),
		task("134e239e-2df3-4794-a6f6-24f1f19ec8dc", "sessions", pools+"{resource}/{sessionId}", 1),
		task("c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7", "messages", pools+"{resource}/{messageId}", 1),
		task("8ffcd551-079c-493a-9c02-54346299d144", "packages", "_apis/{area}/{resource}/{packageType}/{platform}/{version}", 2),
	}
	if s.opts.Flavour == Services {
		all = append(all, usage)
	}
	return list(all)
}
