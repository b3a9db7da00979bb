#include "disk_view.hpp"

#include <algorithm>
#include <cmath>

#include "reports.hpp"
#include "text_format.hpp"

namespace onced::cli {
namespace {

std::string use_text(std::uint64_t used, std::uint64_t budget) {
  return human_bytes(used) + " of " + human_bytes(budget) + " (" + ratio_text(used, budget) + ")";
}

std::string row(std::string label, const std::string& value) {
  label.resize(15, ' ');
  return label + value + "\n";
}

}  // namespace

std::string disk_text(const protocol::Report& status) {
  std::string text = use_text(count(status, "disk_bytes"), count(status, "disk_bytes_max")) + ", " + plural(count(status, "disk_values"), "value");
  if (count(status, "disk_queued_bytes") > 0) text += ", " + human_bytes(count(status, "disk_queued_bytes")) + " still to be written";
  return text;
}

std::string not_durable_text(const Result<protocol::Report>& status) {
  std::string text = "the value is stored, and it is not durable: ";
  if (!status) return text + "its namespace keeps no values on disk, it is too large for that, or the disk fails; see `oncectl disk status`";
  if (!number(*status, "disk_bytes_max")) return text + "its namespace keeps no values on disk";
  if (count(*status, "disk_degraded") > 0) return text + "the disk fails; see `oncectl disk status`";
  return text + "it is too large for the disk, or that has failed for a moment; see `oncectl disk status`";
}

std::string disk_screen(const protocol::Report& report, const Output& output) {
  const bool degraded = count(report, "degraded") > 0;
  const std::uint64_t damaged = count(report, "damaged");
  const std::uint64_t aside = count(report, "aside_bytes");
  std::string screen = output.bold(text(report, "path")) + "\n";
  screen += row("state", degraded ? output.red("degraded: " + text(report, "degraded_why")) : output.green("well"));
  if (degraded) {
    screen += row("", "nothing is written; what is there is still read, and memory goes on. It is tried again");
    screen += row("", "by itself, at least once a minute");
  }
  screen += row("used", use_text(count(report, "used_bytes"), count(report, "budget_bytes")));
  if (const std::uint64_t older = count(report, "older_bytes"); older > 0) {
    screen += row("older format", output.yellow(human_bytes(older) + " of it: goes by itself when its room is needed; to have that sooner, remove"));
    screen += row("", text(report, "path") + "/aside/format-* (seen at the next start)");
  }
  screen += row("values", human_count(count(report, "values")) + ", " + human_bytes(count(report, "live_bytes")) + " in " +
                              plural(count(report, "segments"), "segment"));
  screen += row("sessions", human_count(count(report, "sessions")) + (count(report, "sessions") == 0 ? "" : ", which go on after a restart"));
  screen += row("to be written", human_bytes(count(report, "queued_bytes")));
  screen += row("evicted", plural(count(report, "evicted"), "value") + " since the start");
  const std::uint64_t left_out = count(report, "left_out");
  screen += row("left out", plural(left_out, "value") + " since the start" + (left_out > 0 ? ": no room in its queue, within its size or on the disk, or it failed" : ""));
  const std::string found = plural(damaged, "value") + " since the start" + (aside > 0 ? ", " + human_bytes(aside) + " set aside" : std::string());
  screen += row("damaged", damaged > 0 ? output.red(found) : found);
  if (const std::string task = task_of(report); !task.empty()) screen += row("now", output.yellow(task_text(report)));
  else if (const std::string last = text(report, "last_task"); !last.empty()) screen += row("last", end_of_task(report, last).text);
  return screen;
}

std::string task_of(const protocol::Report& report) { return text(report, "task"); }

double task_fraction(const protocol::Report& report) {
  const double all = number(report, "task_all").value_or(0);
  return all == 0 ? std::nan("") : std::min(number(report, "task_done").value_or(0) / all, 1.0);
}

std::string task_text(const protocol::Report& report) {
  const std::uint64_t done = count(report, "task_done");
  const std::uint64_t all = count(report, "task_all");
  const std::string task = task_of(report);
  if (all == 0) return task + ": just begun";
  if (task == "compact") return task + ": " + human_count(done) + " of " + plural(all, "segment");
  return task + ": " + human_bytes(done) + " of " + human_bytes(all);
}

TaskEnd end_of_task(const protocol::Report& report, std::string_view task) {
  TaskEnd end;
  end.known = task_of(report).empty() && text(report, "last_task") == task;
  if (!end.known) return end;
  end.failed = count(report, "last_task_failed") > 0;
  end.text = text(report, "last_task_result");
  if (end.failed) return end;
  if (task == "compact") end.text = "compacted: " + human_bytes(count(report, "compacted_from_bytes")) + " before, " + human_bytes(count(report, "compacted_to_bytes")) + " after";
  if (task != "verify") return end;
  end.damaged = count(report, "verified_damaged");
  end.stopped = count(report, "verified_stopped") > 0;
  end.text = (end.stopped ? "stopped after " : "verified ") + plural(count(report, "verified_values"), "value") + " of " +
             human_bytes(count(report, "verified_bytes")) + ": " +
             (end.damaged == 0 ? "none is damaged" : human_count(end.damaged) + (end.damaged == 1 ? " is damaged, and absent now" : " are damaged, and absent now"));
  return end;
}

}  // namespace onced::cli
