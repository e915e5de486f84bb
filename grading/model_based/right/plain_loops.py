"""A correct solution in another style: flat dictionaries, a heap with stale entries, one network at a
time, and a loop wherever there can be one."""

import heapq
import math


def in_range(truth, sentence):
    if not truth:
        raise ValueError(sentence)


class TabularModel:
    def __init__(self):
        self.table, self.leading_to = {}, {}

    def predict(self, s, a):
        return self.table[(s, a)]

    def learn_(self, s, a, r, s2, terminated):
        if (s, a) in self.table:
            self.leading_to[self.table[(s, a)][1]].remove((s, a))
        self.table[(s, a)] = (float(r), int(s2), bool(terminated))
        self.leading_to.setdefault(s2, set()).add((s, a))

    def sample(self, rng):
        in_range(self.table, "nothing has been seen so far")
        s = int(rng.choice(sorted({s for s, _ in self.table})))
        return s, int(rng.choice([b for t, b in self.table if t == s]))

    def sources(self, s2):
        return list(self.leading_to.get(s2, ()))


def plan_(Q, model, n, alpha, gamma, rng):
    in_range(n >= 0 and 0 < alpha <= 1 and 0 <= gamma <= 1, "an argument is out of its range")
    while n > 0:
        s, a = model.sample(rng)
        q_update_(Q, s, a, *model.predict(s, a), alpha, gamma)
        n -= 1


class PriorityQueue:
    """A heap in which a pair may lie several times; only its best entry counts."""

    def __init__(self):
        self.heap, self.best = [], {}

    def __len__(self):
        return len(self.best)

    def push_(self, s, a, priority):
        if (s, a) not in self.best or priority > self.best[(s, a)]:
            self.best[(s, a)] = priority
            heapq.heappush(self.heap, (-priority, s, a))

    def pop_(self):
        while self.heap:
            negative, s, a = heapq.heappop(self.heap)
            if self.best.get((s, a)) == -negative:
                del self.best[(s, a)]
                return s, a
        raise ValueError("there is nothing in the queue")


def priority(Q, model, s, a, gamma):
    in_range(0 <= gamma <= 1, "gamma is out of its range")
    r, s2, terminated = model.predict(s, a)
    future = 0.0 if terminated else max(float(q) for q in Q[s2])
    return float(math.fabs(r + gamma * future - Q[s, a]))


def sweep_(Q, model, queue, n, alpha, gamma, theta):
    in_range(n >= 0 and theta >= 0 and 0 < alpha <= 1 and 0 <= gamma <= 1, "an argument is wrong here")
    updates = 0
    while updates < n and len(queue) > 0:
        s, a = queue.pop_()
        q_update_(Q, s, a, *model.predict(s, a), alpha, gamma)
        updates += 1
        for source in model.sources(s):
            p = priority(Q, model, *source, gamma)
            if p > theta:
                queue.push_(*source, p)
    return updates


def dyna(env, shape, episodes, n, alpha, gamma, epsilon, rng, seed, theta=None):
    in_range(episodes >= 1 and n >= 0, "episodes and n are too small")
    in_range(0 < alpha <= 1 and 0 <= gamma <= 1 and 0 <= epsilon <= 1, "a rate is out of its range")
    Q, model, queue, lengths = np.zeros(shape), TabularModel(), PriorityQueue(), []
    observation, _ = env.reset(seed=seed)
    for episode in range(episodes):
        if episode:
            observation, _ = env.reset()
        length = 0
        while True:
            action = epsilon_greedy(Q[observation], epsilon, rng)
            following, reward, terminated, truncated, _ = env.step(action)
            length += 1
            model.learn_(observation, action, reward, following, terminated)
            if theta is None:
                q_update_(Q, observation, action, reward, following, terminated, alpha, gamma)
                plan_(Q, model, n, alpha, gamma, rng)
            else:
                p = priority(Q, model, observation, action, gamma)
                if p > theta:
                    queue.push_(observation, action, p)
                sweep_(Q, model, queue, n, alpha, gamma, theta)
            observation = following
            if terminated or truncated:
                break
        lengths.append(length)
    return DynaResult(Q, np.array(lengths))


def fit_normaliser(data):
    mean, scale = [], []
    for column in data.T.tolist():
        m = math.fsum(column) / len(column)
        spread = math.sqrt(math.fsum((x - m) ** 2 for x in column) / len(column))
        mean.append(m)
        scale.append(1.0 if len(set(column)) == 1 else spread)
    return Normaliser(np.array(mean), np.array(scale))


def normalise(normaliser, x):
    return np.divide(np.subtract(x, normaliser.mean), normaliser.scale)


def denormalise(normaliser, z):
    return np.add(normaliser.mean, np.multiply(normaliser.scale, z))


def holdout(data, n_test, rng):
    n = len(data.actions)
    in_range(1 <= n_test < n, "the test has an impossible size")
    chosen = rng.choice(n, size=n_test, replace=False)
    is_test = np.isin(np.arange(n), chosen)
    return Transitions(*[x[~is_test] for x in data]), Transitions(*[x[is_test] for x in data])


def bootstrap(n, members, rng):
    in_range(n >= 1 and members >= 1, "n and members count from one")
    return np.array([[int(k) for k in rng.choice(n, size=n)] for _ in range(members)])


def minibatches(rows, size, rng):
    in_range(size >= 1, "a piece has at least one column")
    shuffled = np.array([row[rng.permutation(len(row))] for row in rows])
    pieces = []
    while shuffled.shape[1]:
        pieces.append(shuffled[:, :size])
        shuffled = shuffled[:, size:]
    return pieces


def ensemble_loss(prediction, target):
    in_range(prediction.shape == target.shape, "both need the same shape")
    return sum(torch.nn.functional.mse_loss(p, t) for p, t in zip(prediction, target, strict=True))


class Dynamics:
    def step(self, states, actions):
        inputs = np.array([np.hstack([s, actions]) for s in states])
        with torch.inference_mode():
            out = self.net(torch.tensor(normalise(self.inputs, inputs)))
        return np.array([s + denormalise(self.deltas, o) for s, o in zip(states, out.numpy(), strict=True)])


def one_step_errors(dynamics, members, data):
    found = dynamics.step(np.stack([data.states] * members), data.actions)
    return np.array([float(np.mean((one - data.next_states) ** 2)) for one in found])


def fit_dynamics(train, test, settings, rng):
    in_range(settings.epochs >= 1, "one epoch at least")
    raw = np.hstack([train.states, train.actions])
    changes = train.next_states - train.states
    inputs, deltas = fit_normaliser(raw), fit_normaliser(changes)
    x, y = torch.tensor(normalise(inputs, raw)), torch.tensor(normalise(deltas, changes))
    rows = bootstrap(len(raw), settings.members, rng)
    net = EnsembleNet(settings.members, (x.shape[1], *settings.hidden, y.shape[1]), rng)
    dynamics, adam = Dynamics(net, inputs, deltas), torch.optim.Adam(list(net.parameters()), lr=settings.rate)
    errors = []
    for _ in range(settings.epochs):
        for piece in minibatches(rows, settings.batch_size, rng):
            adam.zero_grad()
            piece = torch.tensor(piece)
            ensemble_loss(net(x[piece]), y[piece]).backward()
            adam.step()
        errors.append(one_step_errors(dynamics, settings.members, test))
    return Fit(dynamics, np.array(errors))


def elites(candidates, scores, k):
    in_range(1 <= k <= len(candidates), "so many elites there cannot be")
    best = heapq.nlargest(k, range(len(candidates)), key=lambda index: scores[index])
    return candidates[best]


def refit(old, best, smoothing, min_std=0.0):
    mean = sum(best) / len(best)
    spread = np.sqrt(sum((x - mean) ** 2 for x in best) / len(best))
    std = smoothing * old.std + (1 - smoothing) * spread
    return Gaussian(smoothing * old.mean + (1 - smoothing) * mean, np.where(std < min_std, min_std, std))


def cem(score, start, low, high, settings, rng):
    in_range(settings.iterations >= 1, "one iteration at least")
    in_range(1 <= settings.elites <= settings.population, "so many elites there cannot be")
    in_range(0 <= settings.smoothing < 1, "smoothing is out of its range")
    mean, std = start
    for _ in range(settings.iterations):
        drawn = np.array([rng.normal(mean, std) for _ in range(settings.population)])
        drawn = np.minimum(np.maximum(drawn, low), high)
        best = elites(drawn, score(drawn), settings.elites)
        mean, std = refit(Gaussian(mean, std), best, settings.smoothing, settings.min_std)
    return Gaussian(mean, std)


def imagine(step, problem, state, plans, members):
    P, H = plans.shape[:2]
    states = np.tile(np.asarray(state, float), (members, P, 1))
    total, over = np.zeros((members, P)), np.zeros((members, P), dtype=bool)
    discount = 1.0
    for h in range(H):
        actions = plans[:, h, :]
        after = step(states, actions)
        paid = np.array(problem.reward(states, actions, after))
        paid[over] = 0.0
        total = total + discount * paid
        over |= problem.terminal(after)
        states, discount = after, discount * problem.gamma
    return total


def mpc_action(step, problem, members, state, plan, settings, rng):
    low, high = problem.low, problem.high
    wide = np.array([(high - low) / 4] * len(plan))
    found = cem(
        lambda plans: sum(imagine(step, problem, state, plans, members)) / members,
        Gaussian(np.array(plan), wide), low, high, settings, rng,
    )
    best = list(found.mean)
    return Decision(best[0], np.array(best[1:] + [low + (high - low) / 2]))


def learn_by_planning(env, problem, episodes, horizon, fit, search, rng, seed):
    in_range(episodes >= 2 and horizon >= 1, "too few episodes, or too short plans")
    befores, actions, afters, returns, dynamics = [], [], [], [], None
    for episode in range(episodes):
        if episode:
            data = Transitions(np.array(befores), np.array(actions), np.array(afters))
            train, test = holdout(data, max(len(befores) // 10, 1), rng)
            dynamics, _ = fit_dynamics(train, test, fit, rng)
        state = env.reset(seed=seed)[0] if not episode else env.reset()[0]
        plan = np.array([(problem.low + problem.high) / 2] * horizon)
        total = 0.0
        while True:
            if dynamics is None:
                action = np.array([rng.uniform(a, b) for a, b in zip(problem.low, problem.high, strict=True)])
            else:
                decision = mpc_action(
                    dynamics.step, problem, fit.members, np.array(state, float), plan, search, rng
                )
                action, plan = decision
            action = np.float32(action)
            after, reward, terminated, truncated, _ = env.step(action)
            befores.append(np.array(state, float))
            actions.append(np.array(action, float))
            afters.append(np.array(after, float))
            total += float(reward)
            state = after
            if terminated or truncated:
                break
        returns.append(total)
    data = Transitions(np.array(befores), np.array(actions), np.array(afters))
    return Learned(dynamics, np.array(returns), data)


def open_loop_errors(step, states, actions, horizon, members):
    in_range(1 <= horizon <= len(actions), "the horizon does not fit")
    starts = len(actions) - horizon + 1
    sums = np.zeros(horizon)
    for start in range(starts):
        now = np.array([[states[start]]] * members)
        for k in range(horizon):
            now = step(now, actions[start + k][None])
            for story in now:
                sums[k] += math.dist(story[0], states[start + k + 1])
    return sums / (starts * members)


def growth_bound(step_error, lipschitz, horizon):
    in_range(horizon >= 1 and step_error >= 0 and lipschitz >= 0, "an argument is impossible")
    bound = [step_error]
    while len(bound) < horizon:
        bound.append(lipschitz * bound[-1] + step_error)
    return np.array(bound, float)


def return_bound(step_error, lipschitz, reward_lipschitz, gamma, horizon, value_error):
    in_range(0 <= gamma <= 1, "gamma is out of its range")
    bound = growth_bound(step_error, lipschitz, horizon)
    total = gamma**horizon * value_error
    for k in range(1, horizon):
        total += reward_lipschitz * gamma**k * bound[k - 1]
    return float(total)
