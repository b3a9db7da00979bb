#include "engine/function_queues.hpp"

#include <algorithm>

#include "engine/key_fields.hpp"

namespace onced::engine {

FunctionQueue& FunctionQueues::obtain(std::string_view function) {
  if (const auto found = queues_.find(function); found != queues_.end()) return found->second;
  const auto made = queues_.try_emplace(std::string(function)).first;
  made->second.name = made->first;
  return made->second;
}

const FunctionQueue* FunctionQueues::find(std::string_view function) const {
  const auto found = queues_.find(function);
  return found == queues_.end() ? nullptr : &found->second;
}

std::size_t FunctionQueues::limit_of(std::string_view function) const {
  const auto found = settings_.max_concurrent.find(function);
  return found == settings_.max_concurrent.end() ? 0 : found->second;
}

bool FunctionQueues::is_full(const FunctionQueue& queue) const {
  const std::size_t limit = limit_of(queue.name);
  return limit != 0 && queue.running.size() >= limit;
}

bool FunctionQueues::has_room(std::string_view function) const {
  if (queues_.empty()) return true;
  const FunctionQueue* queue = find(function);
  return queue == nullptr || (queue->queued() == 0 && !is_full(*queue));
}

// Every computation comes by here, and most functions have no limit: they cost a look into an empty map.
void FunctionQueues::begun(const Lease& lease) {
  const std::string_view function = function_of(lease.entry->key);
  if (limit_of(function) != 0) obtain(function).running.insert(lease.token.counter);
}

void FunctionQueues::ended(const Lease& lease) {
  if (queues_.empty()) return;
  const auto found = queues_.find(function_of(lease.entry->key));
  if (found == queues_.end()) return;
  FunctionQueue& queue = found->second;
  queue.running.erase(lease.token.counter);
  note_room(queue);
  forget_if_idle(queue);
}

void FunctionQueues::enter(Entry& entry, bool background, Time now) {
  FunctionQueue& queue = obtain(function_of(entry.key));
  if (entry.queued) {
    if (background || !entry.queued->background) return;
    queue.background.remove(entry.queued->ticket);
    note_move(queue);
  } else {
    entry.queued.emplace();
    entry.queued->since = now;
    entry.queued->number = ++last_place_;
    places_.emplace_hint(places_.end(), last_place_, &entry);
    entered_.push_back(&entry);
  }
  entry.queued->background = background;
  entry.queued->ticket = (background ? queue.background : queue.first).push(&entry);
  if (!background && !queue.background.empty()) note_move(queue);
}

void FunctionQueues::leave(Entry& entry) {
  FunctionQueue& queue = obtain(function_of(entry.key));
  (entry.queued->background ? queue.background : queue.first).remove(entry.queued->ticket);
  if (entry.queued->told == 0) std::erase(entered_, &entry);
  places_.erase(entry.queued->number);
  entry.queued.reset();
  note_move(queue);
}

void FunctionQueues::tell_again(Entry& entry) {
  if (entry.queued->told == 0) return;
  entry.queued->told = 0;
  entered_.push_back(&entry);
}

Entry* FunctionQueues::next() {
  while (!with_room_.empty()) {
    FunctionQueue& queue = *with_room_.front();
    if (queue.queued() > 0 && !is_full(queue)) return queue.at(1);
    queue.may_have_room = false;
    with_room_.pop_front();
    forget_if_idle(queue);
  }
  return nullptr;
}

void FunctionQueues::limits_changed(const LeaseTable& leases) {
  for (const auto& [counter, lease] : leases.all()) begun(lease);  // those of a function that had no limit so far
  std::vector<FunctionQueue*> waiting;
  for (auto& [name, queue] : queues_)
    if (queue.queued() > 0) waiting.push_back(&queue);
  std::sort(waiting.begin(), waiting.end(), [](const FunctionQueue* a, const FunctionQueue* b) { return a->name < b->name; });
  for (FunctionQueue* queue : waiting) note_room(*queue);
}

void FunctionQueues::note_room(FunctionQueue& queue) {
  if (queue.may_have_room || queue.queued() == 0 || is_full(queue)) return;
  queue.may_have_room = true;
  with_room_.push_back(&queue);
}

void FunctionQueues::note_move(FunctionQueue& queue) {
  if (queue.has_moved) return;
  queue.has_moved = true;
  moved_.push_back(&queue);
}

void FunctionQueues::forget_if_idle(FunctionQueue& queue) {
  if (!queue.running.empty() || queue.queued() > 0 || queue.may_have_room || queue.has_moved) return;
  queues_.erase(queues_.find(queue.name));
}

FunctionQueues::Standing FunctionQueues::standing(const Entry& queued) const {
  const FunctionQueue& queue = *find(function_of(queued.key));
  const bool background = queued.queued->background;
  const std::size_t position = background ? queue.first.size() + queue.background.position(queued.queued->ticket)
                                          : queue.first.position(queued.queued->ticket);
  return {position, queue.queued(), limit_of(queue.name)};
}

std::string FunctionQueues::standing_text(const Entry& queued) const {
  const Standing at = standing(queued);
  return "number " + std::to_string(at.position) + " of " + std::to_string(at.queued) + " behind max_concurrent = " +
         std::to_string(at.limit) + " of " + std::string(function_of(queued.key));
}

void FunctionQueues::check_invariants() const {
  std::size_t queued = 0;
  const auto is_in = [](const auto& list, const FunctionQueue& queue) {
    return std::find(list.begin(), list.end(), &queue) != list.end();
  };
  for (const auto& [name, queue] : queues_) {
    ONCED_ASSERT(queue.name == name && !queue.has_moved);
    ONCED_ASSERT(!queue.running.empty() || queue.queued() > 0 || queue.may_have_room);
    ONCED_ASSERT(queue.queued() == 0 || is_full(queue) || queue.may_have_room);  // or nobody would ever come to it
    ONCED_ASSERT(is_in(with_room_, queue) == queue.may_have_room);
    queued += queue.queued();
    const auto check = [&](const RankedQueue<Entry>& part, bool background) {
      std::size_t position = 0;
      part.walk([&](const Entry& entry) {
        ONCED_ASSERT(entry.queued && entry.queued->background == background && function_of(entry.key) == name);
        ONCED_ASSERT(part.position(entry.queued->ticket) == ++position && part.at(position) == &entry);
        ONCED_ASSERT(entry.queued->told != 0);
        ONCED_ASSERT(places_.at(entry.queued->number) == &entry);
      });
      ONCED_ASSERT(position == part.size());
    };
    check(queue.first, false);
    check(queue.background, true);
  }
  ONCED_ASSERT(queued == places_.size() && moved_.empty() && entered_.empty());
}

}  // namespace onced::engine
