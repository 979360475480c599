package explain

// exitCrash is the launcher's exit code for an agent that ended badly in the middle
// of its job.
const exitCrash = 18

// meaning is what an exit code of the launcher says, and what to do.
type meaning struct{ text, fix string }

// exitCodes are those of cmd/ado-agent that mean that there will be no agent, as
// linux/README.md lists them. A test of that command compares the two.
var exitCodes = map[int32]meaning{
	10:        {"settings are missing or wrong", "correct the variables of the agent's container that its log names"},
	11:        {"the credential was refused or lacks a right", "give the agents a token that is valid and has the scope Agent Pools (Read & manage)"},
	12:        {"the pool does not exist, may not be seen, or has no self-hosted agents", "correct AZP_POOL, and give the agents' identity a role on the pool"},
	13:        {"an agent of this name is online", "name agents after their pods: set AZP_AGENT_NAME by fieldRef to metadata.name"},
	14:        {"Azure DevOps cannot be reached", "check AZP_URL, the network policy of the agents' namespace and their proxy settings"},
	15:        {"the image holds no agent, and none could be fetched", "put the agent into the image, or let pods reach the download address"},
	16:        {"the agent's configuration failed or took too long", "see the log; usually the token cannot manage the pool"},
	17:        {"the agent ended before it had a job", "see the log of the agent's container"},
	exitCrash: {"the agent failed in the middle of its job", "see the log of the agent's container; mostly memory was short"},
}

// ExitCode returns what an exit code of the launcher means; ok is false for codes
// that say nothing.
func ExitCode(code int32) (text string, ok bool) {
	m, ok := exitCodes[code]
	return m.text, ok
}
