#include "engine/dependency_waves.hpp"

#include <algorithm>
#include <utility>

namespace onced::engine {

Wave& DependencyWaves::begin(Derivation& from, std::string by) {
  Wave& wave = add(from.standing, std::move(by));
  go_on_from(wave, from);
  return wave;
}

Wave& DependencyWaves::begin_with_all(Entry& entry, std::string by) {
  Wave& wave = add(Standing::condemned, std::move(by));
  wave.all_of = &entry;
  graph_.pin_all(entry);
  return wave;
}

Wave& DependencyWaves::add(Standing to, std::string by) {
  Wave& wave = waves_.emplace_back();
  wave.number = ++last_number_;
  wave.to = to;
  wave.by = std::move(by);
  return wave;
}

void DependencyWaves::go_on_from(Wave& wave, Derivation& reached) {
  if (reached.dependants.empty()) return;
  graph_.pin(reached);
  wave.fronts.push_back({&reached, reached.dependants.size()});
}

DependencyWaves::Visit DependencyWaves::visit(Wave& wave) {
  if (wave.all_of != nullptr) return visit_next_of_all(wave);
  if (wave.fronts.empty()) return {.over = true};
  Wave::Front& front = wave.fronts.front();
  Derivation& from = *front.from;
  // Who has been visited goes to the end, so that those who have not come first, whoever comes or goes meanwhile.
  front.left = std::min(front.left, from.dependants.size());
  if (front.left == 0) {
    wave.fronts.pop_front();
    graph_.unpin(from);
    return {};
  }
  --front.left;
  Derivation& dependant = *from.dependants.front();
  from.dependants.splice(from.dependants.end(), from.dependants, from.dependants.begin());
  if (dependant.standing >= wave.to) {
    // A wave that begins later says at once where it begins. What hangs on that must be reached before this one's answer all the same.
    if (waves_.size() > 1 && std::exchange(dependant.passed_by, wave.number) != wave.number) go_on_from(wave, dependant);
    return {};
  }
  dependant.standing = wave.to;
  dependant.because = &from;
  go_on_from(wave, dependant);
  return {.reached = &dependant};
}

DependencyWaves::Visit DependencyWaves::visit_next_of_all(Wave& wave) {
  Entry& entry = *wave.all_of;
  std::map<std::uint64_t, Derivation>& all = entry.derivations->by_version;
  const auto next = all.lower_bound(wave.next_version);
  if (next == all.end() || next->first > entry.derivations->condemned_up_to) {
    wave.all_of = nullptr;
    return {.left = graph_.unpin_all(entry) ? &entry : nullptr};
  }
  Derivation& one = next->second;
  wave.next_version = next->first + 1;
  one.standing = Standing::condemned;
  one.because = nullptr;
  one.why = "was invalidated by " + wave.by;
  go_on_from(wave, one);
  return {};
}

}  // namespace onced::engine
