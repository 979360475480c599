package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ado-agent-orchestrator/ado-agent-orchestrator/test/cluster"
)

// The lines of docs/performance.md between which the tables are.
const (
	tablesBegin = "<!-- written by test/cmd/performance -write -->\n"
	tablesEnd   = "<!-- end of what test/cmd/performance writes -->\n"
)

// writeTables replaces the tables in docs/performance.md.
func writeTables(ctx context.Context, tables string) error {
	source, err := cluster.Source(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(source, "docs", "performance.md")
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	replaced, err := replaceTables(string(content), tables)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(replaced), 0o644) //nolint:gosec // a page of the documentation
}

func replaceTables(document, tables string) (string, error) {
	before, rest, begins := strings.Cut(document, tablesBegin)
	_, after, ends := strings.Cut(rest, tablesEnd)
	if !begins || !ends {
		return "", errors.New("the lines that enclose the tables are missing")
	}
	return before + tablesBegin + "\n" + tables + "\n" + tablesEnd + after, nil
}
