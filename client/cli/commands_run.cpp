// run: a command's output and exit status, computed once across the machine.
//
// The one who runs it sees its output live; who comes meanwhile waits and gets the same bytes and the same status; who
// comes later gets them from memory. A status other than 0 is told to those who wait and forgotten. Output above
// --max-output is only shown, and the lease goes to the next in line: it is run again, but never twice at a time.
//
// A daemon that is away stops nobody's work: the command runs uncached. One that is there and refuses does: a namespace
// that it does not know or a socket that this user may not open stays as it is until somebody mends it, and a command
// that was to run once would run everywhere until then.
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <unistd.h>

#include <onced/protocol/limits.hpp>

#include "child_process.hpp"
#include "context.hpp"
#include "descriptor.hpp"
#include "disk_view.hpp"
#include "file_digest.hpp"
#include "part_input.hpp"
#include "reach.hpp"
#include "retention_words.hpp"
#include "run_key.hpp"
#include "run_result.hpp"
#include "stale_note.hpp"
#include "text_format.hpp"
#include "wait_bar.hpp"

namespace onced::cli {
namespace {

using client_detail::Descriptor;

// Nobody is there to ask: gone, stopped, full, or of another version in the middle of an upgrade.
bool means_away(ErrorCode code) {
  switch (code) {
    case ErrorCode::unavailable:
    case ErrorCode::timed_out:
    case ErrorCode::version_mismatch:
    case ErrorCode::limit_reached:
    case ErrorCode::out_of_memory: return true;
    default: return false;
  }
}

struct RunWords {
  std::string name;
  std::vector<std::string> environment;
  std::vector<std::string> inputs;
  RetentionWords retention;
  std::string output_bytes_max;
  bool background = false;
  bool directory = false;
  bool force = false;
  bool standard_input = false;
  bool strict = false;
  bool verbose = false;
};

Error file_error(const std::string& what, const std::string& path) {
  return {ErrorCode::invalid_argument, what + " " + path + ": " + std::strerror(errno)};
}

constexpr std::uint64_t output_bytes_max_default = std::uint64_t{64} << 20;

struct Prepared {
  RunIdentity identity;
  Descriptor standard_input;
};

Result<Prepared> prepare(const RunWords& words, const std::vector<std::string>& command) {
  Prepared made;
  made.identity.name = words.name;
  made.identity.words = command;
  for (const std::string& variable : words.environment) {
    const char* value = std::getenv(variable.c_str());
    made.identity.environment.emplace_back(variable, value == nullptr ? std::nullopt : std::optional<std::string>(value));
  }
  if (words.directory) {
    std::unique_ptr<char, decltype(&std::free)> directory(::getcwd(nullptr, 0), &std::free);
    if (directory == nullptr) return file_error("cannot tell", "the working directory");
    made.identity.directory = directory.get();
  }
  for (const std::string& path : words.inputs) {
    const Result<ContentDigest> digest = digest_of_file(path);
    if (!digest) return Error{digest.error().code, "--input " + digest.error().text};
    made.identity.inputs.push_back(*digest);
  }
  if (words.standard_input) {
    // It is part of the key before the command may read it.
    Result<Descriptor> memory = keep_all(STDIN_FILENO, "standard input", limits::part_bytes_max);
    if (!memory) return memory.error();
    made.standard_input = std::move(*memory);
    const Result<ContentDigest> digest = digest_of_descriptor(made.standard_input.number());
    if (!digest) return digest.error();
    made.identity.standard_input = *digest;
    ::lseek(made.standard_input.number(), 0, SEEK_SET);
  }
  return made;
}

class Runner {
 public:
  Runner(Context& context, const RunWords& words) : context_(context), words_(words) {}

  int run() {
    if (context_.command_words.empty()) return usage("which command? It follows \"--\": oncectl run -- COMMAND [ARG...]");
    ComputeOptions options;
    options.force = words_.force;
    options.background = words_.background;
    options.failure_ttl = Milliseconds(0);  // told to those who wait now, and to nobody later
    if (context_.options.timeout) options.wait_timeout = *context_.options.timeout;
    const Result<Retention> retention = retention_of(words_.retention);
    if (!retention) return usage(retention.error().text);
    retention->apply_to(options);
    if (!words_.output_bytes_max.empty()) {
      const auto bytes = parse_size(words_.output_bytes_max);
      if (!bytes || *bytes > limits::part_bytes_max) {
        return usage("--max-output " + words_.output_bytes_max + ": not a size such as 64KiB or 1GiB, up to " +
                     human_bytes(limits::part_bytes_max));
      }
      output_bytes_max_ = *bytes;
    }
    const Result<Prepared> prepared = prepare(words_, context_.command_words);
    if (!prepared) return failed(prepared.error());
    if (const Result<Key> key = run_key(prepared->identity); !key) return usage("this run has no key: " + key.error().text + "; --name gives it a short one");

    Result<Reach> reach = Reach::open(context_);
    if (!reach) return without_daemon(reach.error(), *prepared);
    const Result<Key> key = run_key(prepared->identity, reach->session_number());
    if (!key) return usage("this run has no key in a session: " + key.error().text);
    Client& client = reach->client();
    if (const Result<void> connected = client.connect(); !connected) return without_daemon(connected.error(), *prepared);
    Result<Client::Acquired> acquired = acquire(*reach, *key, options);
    if (!acquired && acquired.error().code == ErrorCode::unavailable) return without_daemon(acquired.error(), *prepared);
    if (!acquired) return told(acquired.error());
    if (const auto* value = std::get_if<Value>(&*acquired)) return repeat(*value, *reach, *key, client.counters().waited > 0);
    return compute(client, std::get<Computation>(*acquired), prepared->standard_input.number());
  }

 private:
  // Waits while another one runs it.
  Result<Client::Acquired> acquire(Reach& reach, const Key& key, const ComputeOptions& options) {
    const WaitBar bar(context_, reach, key);
    return reach.acquire(key, options);
  }

  int without_daemon(const Error& error, const Prepared& prepared) {
    if (words_.strict || !means_away(error.code)) {
      context_.output.talk(escape(error.text) + "; the command was not run");
      return exit_code::own_fault;
    }
    context_.output.talk(escape(error.text) + "; running the command uncached");
    why_not_durable_ = "there was no daemon to keep the result";
    const Result<ChildResult> child = run_child({context_.command_words, prepared.standard_input.number(), 0});
    return child ? durable_end_of(*child) : failed(child.error());
  }

  // The command's own status. That its output was lost shows in ours when it does not show in its.
  static int end_of(const ChildResult& child) {
    const bool well = child.status == exit_code::ok || child.status == exit_code::output_closed;
    if (well && child.output_error != 0) throw OutputFailed{child.output_error};
    return child.status;
  }

  // The same, unless its result was to be durable and is not.
  int durable_end_of(const ChildResult& child) {
    const int status = end_of(child);
    if (!words_.retention.durable || durable_ || status != exit_code::ok) return status;
    context_.output.talk("the command was run, and --durable could not be met" + (why_not_durable_.empty() ? std::string() : ": " + escape(why_not_durable_)) +
                         " (exit code 125)");
    return exit_code::own_fault;
  }

  int compute(Client& client, Computation& computation, int standard_input) {
    verbose("running it here");
    Result<ChildResult> child = run_child({context_.command_words, standard_input, static_cast<std::size_t>(output_bytes_max_)});
    if (!child) {
      computation.abandon();
      return failed(child.error());
    }
    if (child->interrupted) {
      computation.abandon();  // half a result is nobody's; the next in line runs it
      why_not_durable_ = "it was interrupted";
      // Its status does not say so when it has made an end of its own.
      if (child->status == exit_code::ok) context_.output.talk("interrupted: the result was not kept; who asks for it runs the command again");
    } else if (child->status != 0) {
      computation.fail(encode_failure({child->out, child->err, child->status, child->overflow}));
    } else if (child->overflow) {
      computation.abandon();
      context_.output.talk("the output is larger than " + human_bytes(output_bytes_max_) +
                           " (--max-output) and was not kept; who waits for it runs the command again");
    } else {
      keep(client, computation, {std::move(child->out), std::move(child->err), child->status});
    }
    return durable_end_of(*child);
  }

  void keep(Client& client, Computation& computation, const RunResult& result) {
    if (const Result<void> added = add_result(computation.builder(), result); !added) {
      computation.abandon();
      return context_.output.talk("the result was not kept: " + escape(added.error().text));
    }
    const Result<Value> published = computation.publish();
    const std::optional<Error> why = published ? published->not_stored() : std::optional<Error>(published.error());
    if (why) {
      why_not_durable_ = "the result was not kept";
      return context_.output.talk("the result was not kept: " + escape(why->text));
    }
    const std::optional<Error> memory_only = published->not_durable();
    durable_ = words_.retention.durable && !memory_only;
    if (memory_only) why_not_durable_ = not_durable_text(client.status());
  }

  // A value that was there or that we waited for.
  int repeat(const Value& value, Reach& reach, const Key& key, bool waited) {
    const Result<KnownResult> result = result_of(value);
    if (!result && result.error().code == ErrorCode::malformed) {
      context_.output.talk("the value of " + key.display() + " is not a command's result (" + escape(result.error().text) +
                           "); --force runs the command and replaces it");
      return exit_code::own_fault;
    }
    if (!result) return failed(result.error());
    if (words_.verbose) {
      const std::string cost = human_duration(static_cast<double>(value.cost_us()) / 1e6);
      verbose((waited ? "not run: waited for another run of it, which took " + cost : "not run: its result was there already, from a run of " + cost) +
              (value.stale() ? "; it is stale" + renewal_of(value, reach, key) : std::string()));
    }
    return show(*result);
  }

  // While its function is full, or somebody's run of it has just failed, nobody does.
  static std::string renewal_of(const Value& value, Reach& reach, const Key& key) {
    const Result<protocol::Explanation> known = reach.explain(key);
    return known ? ", and " + renewal_text(*known, value).value_or("nobody renews it now") : std::string();
  }

  // Nobody's result: what the holder said when it failed, or why there is no answer.
  int told(const Error& error) {
    if (error.code == ErrorCode::computation_failed) {
      if (const std::optional<RunResult> result = decode_failure(error.text)) {
        verbose("not run: it has just failed for somebody else");
        if (result->cut) context_.output.talk("only the end of its output is known here");
        return show({result->out, result->err, result->status});
      }
    }
    return failed(error);
  }

  int show(const KnownResult& result) {
    write_all(STDERR_FILENO, result.err);
    context_.output.data(result.out);
    return result.status;
  }

  int usage(const std::string& text) {
    context_.output.talk(escape(text));
    return exit_code::usage;
  }
  // 125 for everything but a command line that is wrong: the other codes may be the command's own.
  int failed(const Error& error) {
    context_.output.talk(escape(error.text));
    return exit_code_for(error.code) == exit_code::usage ? exit_code::usage : exit_code::own_fault;
  }
  void verbose(const std::string& text) {
    if (words_.verbose) context_.output.talk(text);
  }

  Context& context_;
  const RunWords& words_;
  std::uint64_t output_bytes_max_ = output_bytes_max_default;
  bool durable_ = false;  // the result is on stable storage
  std::string why_not_durable_;
};

}  // namespace

void add_run_command(CLI::App& app, Context& context) {
  auto words = std::make_shared<RunWords>();
  Command command = add_command(
      app, context,
      {"run", "-- COMMAND [ARG...]", "Run a command once; everybody gets its output and status",
       "COMMAND [ARG...] follows \"--\". The same run is the same words and what the options\n"
       "choose; nothing else of its surroundings counts. Whoever asks while it runs waits\n"
       "for it. A status other than 0 is told to those who wait and not kept. Output above\n"
       "--max-output is not kept either: those who wait then run the command one after\n"
       "another. What is kept are the parts stdout, stderr and status of the value.\n"
       "Standard input is empty unless --stdin passes it on. --timeout bounds the wait for\n"
       "somebody else's run, not the command.\n\n"
       "While the daemon is away (gone, stopped, full) the command just runs, and a line on\n"
       "standard error says so. A daemon that refuses (an unknown namespace, a socket that\n"
       "this user may not open) is exit code 125, and the command is not run. With --durable\n"
       "125 also says that the command was run, with status 0, and that its result could not\n"
       "be made durable (a line on standard error says why); a result that was there already\n"
       "is as durable as it was made. --json does not change what is written: it is the\n"
       "command's own output.\n",
      "  oncectl run -- make-report --month 2026-11\n"
      "  oncectl run --name schema --input schema.sql -- psql -f schema.sql\n"
      "  oncectl run --ttl 10m --grace 1h --env LANG --cwd -- sh -c 'git log | wc -l'\n"
      "  generate | oncectl run --stdin -- slow-filter\n"
      "  oncectl run --max-output 2GiB -- make-dump > dump\n"},
      [&context, words] { return Runner(context, *words).run(); });
  command.add_option("--name", words->name, "The function is \"run:N\" (default: the command's first word)", "N");
  command.add_options("--env", words->environment, "This variable's value counts (repeat for more)", "VAR");
  command.add_options("--input", words->inputs, "This file's content counts (repeat for more)", "FILE");
  command.add_flag("--cwd", words->directory, "The working directory counts");
  command.add_flag("--stdin", words->standard_input, "Pass standard input on; its content counts");
  command.add_flag("--force", words->force, "Run it even if there is a result, and replace that");
  command.add_flag("--background", words->background, "Where the operator limits how many run at once\n(max_concurrent): after all that are not in the background");
  add_retention_options(command, words->retention);
  command.add_option("--max-output", words->output_bytes_max, "The most output that is kept, both streams in sum\n(default: 64MiB)", "SIZE");
  command.add_flag("--strict", words->strict, "Daemon away: exit code 125 instead of running it uncached");
  command.add_flag("-v,--verbose", words->verbose, "Say whether it was run or known");
}

}  // namespace onced::cli
