#include "child_process.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caught_signals.hpp"
#include "descriptor.hpp"
#include "exit_code.hpp"
#include "output.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

using client_detail::Descriptor;

Error system_error(const char* what) { return {ErrorCode::limit_reached, std::string(what) + ": " + std::strerror(errno)}; }

struct Pipe {
  Descriptor read;
  Descriptor write;
};
std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// What a signal does, while the object lives.
class Disposition {
 public:
  Disposition(int signal, void (*handler)(int)) : signal_(signal) {
    struct sigaction wanted {};
    wanted.sa_handler = handler;
    ::sigaction(signal_, &wanted, &previous_);
  }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;
  ~Disposition() { restore(); }
  void restore() const { ::sigaction(signal_, &previous_, nullptr); }

 private:
  int signal_;
  struct sigaction previous_ {};
};

// The signals that we pass on, and SIGCHLD, arrive as reads from a descriptor; writing to a closed pipe is an error code
// and not our end: the result is for others, too. Undone by the destructor.
class SignalQueue {
 public:
  int descriptor() const { return signals_.descriptor(); }
  // Also for the child: a mask and what is ignored would be inherited by the command.
  void restore() const {
    pipe_.restore();
    child_.restore();
    signals_.release();
  }
  std::optional<signalfd_siginfo> next() { return signals_.next(); }

 private:
  Disposition pipe_{SIGPIPE, SIG_IGN};
  // Whoever started us may ignore it: the kernel would then keep neither the command's end nor its status for us.
  Disposition child_{SIGCHLD, SIG_DFL};
  CaughtSignals signals_{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD};  // the last is ours, the others are passed on
};

[[noreturn]] void become(const ChildOptions& options, const SignalQueue& signals, pid_t parent, const Pipe& out, const Pipe& err,
                         const Pipe& exec_error) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(exit_code::own_fault);  // it died before the line above
  const int input = options.standard_input >= 0 ? options.standard_input : ::open("/dev/null", O_RDONLY);
  ::dup2(input, STDIN_FILENO);
  ::dup2(out.write.number(), STDOUT_FILENO);
  ::dup2(err.write.number(), STDERR_FILENO);
  std::vector<char*> words;
  for (const std::string& word : options.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  signals.restore();
  ::execvp(words[0], words.data());
  const int error = errno;
  write_all(exec_error.write.number(), {reinterpret_cast<const char*>(&error), sizeof(error)});
  ::_exit(exit_code::not_found);
}

// One of the command's outputs: passed on to a descriptor of ours and captured.
struct Stream {
  Descriptor from;
  int to;
  std::string captured;
  int write_error = 0;  // errno, once `to` takes nothing more

  // Reads once; closes `from` at the end of the stream.
  void advance(bool capture) {
    std::array<char, 16 * 1024> chunk{};
    const ssize_t got = ::read(from.number(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) return from.reset();
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(got));
    if (write_error == 0 && !write_all(to, bytes)) write_error = errno;
    if (capture) captured += bytes;
  }
};

// Ctrl-C and Ctrl-\ go to every process of the terminal's foreground group: the command has had it, and many programs take
// a second one as "at once".
bool command_has_it_too(const signalfd_siginfo& signal) {
  return signal.ssi_code == SI_KERNEL && (signal.ssi_signo == SIGINT || signal.ssi_signo == SIGQUIT);
}

int shell_status(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace

Result<ChildResult> run_child(const ChildOptions& options) {
  std::optional<Pipe> out = make_pipe();
  std::optional<Pipe> err = make_pipe();
  std::optional<Pipe> exec_error = make_pipe();
  if (!out || !err || !exec_error) return system_error("cannot make a pipe");
  SignalQueue signals;
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return system_error("cannot start a process");
  if (child == 0) become(options, signals, parent, *out, *err, *exec_error);
  out->write.reset();
  err->write.reset();
  exec_error->write.reset();

  ChildResult result;
  Stream streams[] = {{std::move(out->read), STDOUT_FILENO, {}}, {std::move(err->read), STDERR_FILENO, {}}};
  std::optional<int> ended;
  while (!ended || streams[0].from.number() >= 0 || streams[1].from.number() >= 0) {
    // A negative descriptor is skipped by poll().
    std::array<pollfd, 3> polled{pollfd{streams[0].from.number(), POLLIN, 0}, pollfd{streams[1].from.number(), POLLIN, 0},
                                 pollfd{signals.descriptor(), POLLIN, 0}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return system_error("poll");
    for (std::size_t i = 0; i < 2; ++i) {
      if (polled[i].revents != 0) streams[i].advance(!result.overflow);
    }
    if (!result.overflow && streams[0].captured.size() + streams[1].captured.size() > options.capture_bytes_max) {
      result.overflow = true;
      for (Stream& stream : streams) std::string().swap(stream.captured);
    }
    for (Stream& stream : streams) {
      if (!result.overflow || stream.write_error == 0 || stream.from.number() < 0) continue;
      // Nobody sees the rest and nobody will: the command finds its output closed, as it would without us.
      stream.from.reset();
      result.interrupted = true;
    }
    while (const std::optional<signalfd_siginfo> signal = signals.next()) {
      if (signal->ssi_signo == SIGCHLD) {
        int status = 0;
        const pid_t reaped = ::waitpid(child, &status, WNOHANG);
        if (reaped < 0 && errno == ECHILD) return Error{ErrorCode::internal, "the command has ended, and its status is not known"};
        if (reaped == child) ended = shell_status(status);
      } else if (!ended) {
        result.interrupted = true;
        if (!command_has_it_too(*signal)) ::kill(child, static_cast<int>(signal->ssi_signo));
      } else {
        // The command is over, only its children hold its output open: we are meant, and stop waiting for them.
        result.interrupted = true;
        for (Stream& stream : streams) stream.from.reset();
      }
    }
  }

  result.out = std::move(streams[0].captured);
  result.err = std::move(streams[1].captured);
  result.status = *ended;
  result.output_error = streams[0].write_error;
  int error = 0;
  if (::read(exec_error->read.number(), &error, sizeof(error)) == static_cast<ssize_t>(sizeof(error))) {
    result.status = error == ENOENT ? exit_code::not_found : exit_code::not_executable;
    result.err = "oncectl: cannot run '" + escape(options.words[0]) + "': " + std::strerror(error) + "\n";
    write_all(STDERR_FILENO, result.err);
  }
  return result;
}

}  // namespace onced::cli
