// disk: the values of a namespace on disk, how they are, and work on all of them.
//
// Verifying and compacting go on in the daemon; the command watches. Ctrl-C ends the work, too, and says how far it came.
#include <cmath>
#include <csignal>
#include <memory>
#include <vector>

#include <poll.h>

#include "caught_signals.hpp"
#include "command_line.hpp"
#include "context.hpp"
#include "disk_view.hpp"
#include "reports.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

using protocol::DiskAction;

constexpr int progress_ms = 200;
constexpr int line_percent = 10;  // off a terminal: a line each so many

struct DiskWords {
  std::string action = "status";
};

// SIGINT and its like, kept from ending this process; a second one does.
class Interrupts {
 public:
  // 0: none came in this time.
  int pause(int milliseconds) {
    pollfd polled{signals_.descriptor(), POLLIN, 0};
    if (::poll(&polled, 1, milliseconds) <= 0) return 0;
    const auto signal = signals_.next();
    if (!signal) return 0;
    signals_.release();  // whoever does not want to wait for the end of it
    return static_cast<int>(signal->ssi_signo);
  }

 private:
  CaughtSignals signals_{SIGINT, SIGTERM, SIGHUP};
};

class Worker {
 public:
  Worker(Context& context, Client& client, std::string task) : context_(context), client_(client), task_(std::move(task)) {}

  int run(DiskAction action) {
    Interrupts interrupts;
    Result<protocol::Report> report = client_.disk(action);
    if (!report) return context_.fail(report.error());
    if (const std::string other = task_of(*report); !other.empty() && other != task_)
      return context_.fail({ErrorCode::limit_reached, "the daemon is at another one: " + task_text(*report) + "; one is done at a time"});
    int signal = 0;
    while (task_of(*report) == task_) {
      show(*report);
      if (const int came = interrupts.pause(progress_ms); came != 0) signal = came;
      report = client_.disk(signal == 0 ? DiskAction::look : DiskAction::stop);
      if (!report) {
        context_.output.clear_live();
        return context_.fail(report.error());
      }
    }
    context_.output.clear_live();
    return tell(*report, signal);
  }

 private:
  void show(const protocol::Report& report) {
    if (context_.options.json) return;
    const double fraction = task_fraction(report);
    if (context_.output.talk_screen().live) return context_.output.live(progress_line(fraction, task_text(report), context_.output.talk_screen().width));
    if (std::isnan(fraction)) return;
    const int percent = static_cast<int>(fraction * 100);
    if (percent < told_percent_ + line_percent) return;
    told_percent_ = percent - percent % line_percent;
    context_.output.talk(task_text(report) + " (" + std::to_string(percent) + " %)");
  }

  int tell(const protocol::Report& report, int signal) {
    const TaskEnd end = end_of_task(report, task_);
    if (context_.options.json) context_.json_line(report_json(report));
    if (!end.known) {
      context_.output.talk("something else has been begun since; what came of it is not known any more");
      return exit_code::own_fault;
    }
    if (end.failed) {
      context_.output.talk(end.text);
      return exit_code::own_fault;
    }
    if (!context_.options.json) context_.output.data(end.text + "\n");
    if (end.damaged > 0) context_.output.talk("the daemon's log names them; damage comes from the disk or from what else writes there: look at its health");
    if (end.damaged > 0) return exit_code::miss;
    return signal != 0 ? 128 + signal : end.stopped ? exit_code::own_fault : exit_code::ok;
  }

  Context& context_;
  Client& client_;
  std::string task_;
  int told_percent_ = -line_percent;
};

int status(Context& context, Client& client) {
  const Result<protocol::Report> report = client.disk();
  if (!report) return context.fail(report.error());
  if (context.options.json) context.json_line(report_json(*report));
  else context.output.data(disk_screen(*report, context.output));
  return exit_code::ok;
}

int clear(Context& context, Client& client) {
  const Result<std::uint64_t> dropped = client.clear_disk();
  if (!dropped) return context.fail(dropped.error());
  if (context.options.json) context.json_line(Json{{"count", *dropped}});
  else context.output.data(plural(*dropped, "value") + " dropped from disk; what is in memory stays\n");
  return exit_code::ok;
}

int disk(Context& context, const DiskWords& words) {
  if (const auto problem = unknown_action("disk", words.action, {"status", "verify", "compact", "clear"}))
    return context.fail({ErrorCode::invalid_argument, *problem});
  Client client(context.client_options());
  if (words.action == "status") return status(context, client);
  if (words.action == "clear") return clear(context, client);
  return Worker(context, client, words.action).run(words.action == "verify" ? DiskAction::verify : DiskAction::compact);
}

}  // namespace

void add_disk_commands(CLI::App& app, Context& context) {
  auto words = std::make_shared<DiskWords>();
  Command command = add_command(
      app, context,
      {"disk", "[status|verify|compact|clear]", "The values on disk: how they are; check, compact, clear",
       "Of one namespace, where [disk] path in the daemon's configuration says that values\n"
       "are kept on disk, beside memory. `verify` reads all of it and checks it while the\n"
       "daemon serves; what is damaged is absent from then on. `compact` rewrites it without\n"
       "what is dead, which otherwise happens when room is needed. Both go on in the daemon;\n"
       "Ctrl-C ends them, too, and says how far they came. `clear` drops all values on disk;\n"
       "those in memory, and sessions, stay (`invalidate --all` drops both kinds of values).\n"
       "Exit code 1 when damage was found, 2 when values are kept in memory only, 7 when the\n"
       "disk could not be written, 125 when the work failed or somebody else ended it.\n",
       "  oncectl disk\n"
       "  oncectl disk status --json | jq '.used_bytes / .budget_bytes'\n"
       "  oncectl disk verify || mail -s 'onced: damage' root < /dev/null\n"
       "  oncectl disk clear --namespace charts\n"},
      [&context, words] { return disk(context, *words); });
  command.add_word("ACTION", words->action, "status (default), verify, compact or clear");
}

}  // namespace onced::cli
