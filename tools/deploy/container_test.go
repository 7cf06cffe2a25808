package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// repository is the root of the project, from this package's folder.
const repository = "../.."

// containerFile reads the container file as a builder does; what its linter says of it fails the test.
func containerFile(t *testing.T) []instructions.Stage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository, "deploy/container/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	result, err := parser.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range result.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	stages, _, err := instructions.Parse(result.AST, linter.New(&linter.Config{Warn: func(rule, _, _, text string, at []parser.Range) {
		t.Errorf("Dockerfile:%v: %s: %s", at, rule, text)
	}}))
	if err != nil {
		t.Fatal(err)
	}
	return stages
}

// commands are those of a stage of one kind, in their order.
func commands[C any](s instructions.Stage) (found []C) {
	for _, c := range s.Commands {
		if c, ok := c.(C); ok {
			found = append(found, c)
		}
	}
	return found
}

func TestContainerFile(t *testing.T) {
	stages := containerFile(t)
	last := stages[len(stages)-1]
	if last.BaseName != "scratch" {
		t.Errorf("the image is built on %s", last.BaseName)
	}
	if users := commands[*instructions.UserCommand](last); len(users) != 1 || users[0].User != "65532:65532" {
		t.Errorf("users %v: Kubernetes' runAsNonRoot needs a number, and not 0", users)
	}
	// An image without a shell runs only what is given as a list.
	for _, c := range commands[*instructions.EntrypointCommand](last) {
		if c.PrependShell || c.CmdLine[0] != "/usr/bin/rotunda" {
			t.Errorf("entry point %v", c.CmdLine)
		}
	}
	checks := commands[*instructions.HealthCheckCommand](last)
	if len(checks) != 1 || !slices.Equal(checks[0].Health.Test, []string{"CMD", "/usr/bin/rotunda", "health"}) {
		t.Errorf("health checks %v", checks)
	}
	if list, ok := reachable(last); !ok {
		t.Errorf("the image exposes %v", list)
	}
	for _, s := range stages { // what is copied from the tree is there, and not kept out of the build
		for _, c := range commands[*instructions.CopyCommand](s) {
			for _, from := range c.SourcePaths {
				if _, err := os.Stat(filepath.Join(repository, from)); c.From == "" && err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// reachable reports whether the image exposes every default port of a node.
func reachable(s instructions.Stage) (ports []string, all bool) {
	for _, c := range commands[*instructions.ExposeCommand](s) {
		ports = append(ports, c.Ports...)
	}
	want := []string{"8080/tcp", "8081/udp", "8081/tcp", "7443/udp", "7946/udp", "7946/tcp", "2379/tcp", "2380/tcp", "9090/tcp", "9091/tcp"}
	return ports, !slices.ContainsFunc(want, func(p string) bool { return !slices.Contains(ports, p) })
}

// image is what the container file makes, as a folder: its build stage run by the shell of this machine, in folders of its own.
var image = sync.OnceValues(buildImage)

var imageFolder string // removed at the end

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // helm's loader tells of every link that it follows
	status := m.Run()
	_ = os.RemoveAll(imageFolder)
	os.Exit(status)
}

func buildImage() (root string, err error) {
	imageFolder, err = os.MkdirTemp("", "rotunda-image-")
	if err != nil {
		return "", err
	}
	source := filepath.Join(imageFolder, "src")
	if err := copyContext(source); err != nil {
		return "", err
	}
	// The page as `make web` has built it, by the same two commands as the stage before.
	if err := os.CopyFS(filepath.Join(source, "node/web/dist-built"), os.DirFS(filepath.Join(repository, "node/web/dist"))); err != nil {
		return "", err
	}
	dist := filepath.Join(source, "node/web/dist")
	if err := os.RemoveAll(dist); err != nil {
		return "", err
	}
	if err := os.Rename(dist+"-built", dist); err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(repository, "deploy/container/Dockerfile"))
	if err != nil {
		return "", err
	}
	result, err := parser.Parse(bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	stages, _, err := instructions.Parse(result.AST, nil)
	if err != nil {
		return "", err
	}
	for _, run := range commands[*instructions.RunCommand](stages[len(stages)-2]) {
		line := strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out/", imageFolder+"/out/")
		c := exec.Command("sh", "-euc", line)
		c.Dir, c.Env = source, append(os.Environ(), "VERSION=test", "REVISION=test")
		if said, err := c.CombinedOutput(); err != nil {
			return "", &failure{line, string(said)}
		}
	}
	return filepath.Join(imageFolder, "out"), nil
}

type failure struct{ command, said string }

func (f *failure) Error() string { return f.command + ": " + f.said }

// copyContext copies what a build gets: the tree's files, those that git knows and those that are new, without what .dockerignore keeps out.
func copyContext(to string) error {
	ignored, err := os.ReadFile(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		return err
	}
	list, err := exec.Command("git", "-C", repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if slices.ContainsFunc(strings.Fields(string(ignored)), func(out string) bool { return name == out || strings.HasPrefix(name, out+"/") }) {
			continue
		}
		if info, err := os.Lstat(filepath.Join(repository, name)); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			continue // the chart's, which no build needs
		}
		b, err := os.ReadFile(filepath.Join(repository, name))
		if os.IsNotExist(err) { // taken out of the tree and not yet out of git
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// container is the image with what is mounted into it, as a folder that a process can be shut up in.
func container(t *testing.T, mounts map[string]string) (root string) {
	t.Helper()
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	err = filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, p)
		if d.IsDir() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(root, name), info.Mode().Perm())
		}
		return os.Link(p, filepath.Join(root, name)) // the binary is large
	})
	if err != nil {
		t.Fatal(err)
	}
	for target, from := range mounts {
		info, err := os.Stat(from)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(root, target)
		if info.IsDir() {
			err = os.RemoveAll(at)
			if err == nil {
				err = os.CopyFS(at, os.DirFS(from))
			}
			err = errorsOf(err, copyModes(at, from))
		} else {
			err = copyFile(at, from, info.Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func copyFile(to, from string, mode fs.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errorsOf(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, b, mode.Perm()))
}

// copyModes gives the files below to the modes that they have below from.
func copyModes(to, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(from, p)
		return os.Chmod(filepath.Join(to, name), info.Mode().Perm())
	})
}

// inContainer runs a command in a container: with its files alone, and as its user.
func inContainer(ctx context.Context, t *testing.T, root string, environ []string, args ...string) (said string, err error) {
	t.Helper()
	c := exec.CommandContext(ctx, "/usr/bin/rotunda", args...)
	c.Path, c.Err = "/usr/bin/rotunda", nil // of the container, which this process does not see
	c.Dir, c.Env, c.SysProcAttr = "/", environ, confined(root)
	b, err := c.CombinedOutput()
	return string(b), err
}

// The image has what the binary needs: it runs alone in it, without a shell, as nobody.
func TestImageRuns(t *testing.T) {
	root := container(t, nil)
	said, err := inContainer(t.Context(), t, root, nil, "version")
	if err != nil || !strings.HasPrefix(said, "rotunda test (test, ") {
		t.Errorf("%q, %v", said, err)
	}
	said, err = inContainer(t.Context(), t, root, nil, "health", "--admin", "127.0.0.1:1")
	if err == nil || !strings.Contains(said, "no node answers") {
		t.Errorf("health without a node: %q, %v", said, err)
	}
}

// commandOf is what the image runs behind its entry point.
func commandOf(s instructions.Stage) []string {
	for _, c := range commands[*instructions.CmdCommand](s) {
		return c.CmdLine
	}
	return nil
}

// runBinary runs the image's binary here, in this machine's files.
func runBinary(t *testing.T, root string, args ...string) (said string) {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/rotunda"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("rotunda %v: %v\n%s", args, err, b)
	}
	return string(b)
}

// failBinary is runBinary for what has to fail.
func failBinary(t *testing.T, root string, args ...string) (said string) {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), filepath.Join(root, "usr/bin/rotunda"), args...).CombinedOutput()
	if err == nil {
		t.Fatalf("rotunda %v did not fail\n%s", args, b)
	}
	return string(b)
}
