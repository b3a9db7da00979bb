#include "tiers/maintenance.hpp"

#include <utility>

namespace onced::tiers {
namespace {

std::string found_text(const disk::Store::Verified& found) {
  return (found.stopped ? "stopped after " : "verified ") + std::to_string(found.values) + " values, " + std::to_string(found.bytes) + " bytes: " +
         std::to_string(found.damaged) + " damaged";
}

}  // namespace

bool Maintenance::begin(const char* task) {
  const std::lock_guard lock(progress_->mutex);
  if (progress_->running) return false;
  progress_->running = true;
  progress_->task = task;
  progress_->done.store(0, std::memory_order_relaxed);
  progress_->all.store(0, std::memory_order_relaxed);
  progress_->stop.store(false, std::memory_order_relaxed);
  return true;
}

void Maintenance::begin_verify() {
  if (!begin("verify")) return;
  if (thread_) thread_->stop(std::chrono::seconds(1));  // it has nothing more to do
  thread_ = std::make_unique<threads::LeavableThread>([progress = progress_, work = tier_.verification()] {
    const auto found = work([&progress](std::uint64_t done, std::uint64_t all) {
      progress->done.store(done, std::memory_order_relaxed);
      progress->all.store(all, std::memory_order_relaxed);
      return !progress->stop.load(std::memory_order_relaxed);
    });
    const std::lock_guard lock(progress->mutex);
    progress->running = false;
    progress->failed = !found;
    if (found) progress->verified = *found;
    progress->result = found ? found_text(*found) : "verify failed: " + found.error().text;
  });
}

void Maintenance::begin_compact() {
  if (!begin("compact")) return;
  const std::uint64_t before = tier_.store().status().used_bytes;
  tier_.compact(
      [progress = progress_](std::uint64_t done, std::uint64_t all) {
        progress->done.store(done, std::memory_order_relaxed);
        progress->all.store(all, std::memory_order_relaxed);
        return !progress->stop.load(std::memory_order_relaxed);
      },
      [progress = progress_, before](Result<std::uint64_t> used) {
        const std::lock_guard lock(progress->mutex);
        progress->running = false;
        progress->failed = !used;
        if (used) progress->compacted_from = before, progress->compacted_to = *used;
        progress->result = used ? "compacted: " + std::to_string(before) + " bytes before, " + std::to_string(*used) + " after"
                                : "compact failed: " + used.error().text;
      });
}

void Maintenance::ask_to_stop() { progress_->stop.store(true, std::memory_order_relaxed); }

void Maintenance::report(protocol::Report& report) const {
  const std::lock_guard lock(progress_->mutex);
  report.emplace_back("task", progress_->running ? progress_->task : std::string());
  report.emplace_back("task_done", progress_->done.load(std::memory_order_relaxed));
  report.emplace_back("task_all", progress_->all.load(std::memory_order_relaxed));
  report.emplace_back("last_task", progress_->running ? std::string() : progress_->task);
  report.emplace_back("last_task_result", progress_->result);
  report.emplace_back("last_task_failed", std::uint64_t{!progress_->running && progress_->failed ? 1U : 0U});
  report.emplace_back("verified_values", progress_->verified.values);
  report.emplace_back("verified_bytes", progress_->verified.bytes);
  report.emplace_back("verified_damaged", progress_->verified.damaged);
  report.emplace_back("verified_stopped", std::uint64_t{progress_->verified.stopped ? 1U : 0U});
  report.emplace_back("compacted_from_bytes", progress_->compacted_from);
  report.emplace_back("compacted_to_bytes", progress_->compacted_to);
}

void Maintenance::stop(std::chrono::milliseconds patience) {
  ask_to_stop();
  if (thread_) thread_->stop(patience);
  thread_.reset();
}

}  // namespace onced::tiers
