"""A correct solution in another style: lists of pairs and arrays, everything at once, closed forms."""

from functools import partial


def must(*conditions):
    if not all(conditions):
        raise ValueError("One of the arguments lies outside of its range.")


class TabularModel:
    def learn_(self, s, a, r, s2, terminated):
        known = dict(self.outcomes.get(s, {}))
        known[a] = (r, s2, terminated)
        self.outcomes = {**self.outcomes, s: known}

    def predict(self, s, a):
        r, s2, terminated = self.outcomes[s][a]
        return float(r), int(s2), bool(terminated)

    def sample(self, rng):
        must(len(self.outcomes) > 0)
        pairs = [(s, a) for s in self.outcomes for a in self.outcomes[s]]
        chances = np.array([1.0 / len(self.outcomes[s]) for s, _ in pairs]) / len(self.outcomes)
        return pairs[int(np.searchsorted(np.cumsum(chances)[:-1], rng.random(), side="right"))]

    def sources(self, s2):
        found = set()
        for s in self.outcomes:
            found |= {(s, a) for a in self.outcomes[s] if self.outcomes[s][a][1] == s2}
        return sorted(found)


def plan_(Q, model, n, alpha, gamma, rng):
    must(n >= 0, 0 < alpha <= 1, 0 <= gamma <= 1)
    for s, a in (model.sample(rng) for _ in range(n)):
        Q[s, a] += alpha * (q_target(*_parts(Q, model, s, a, gamma)) - Q[s, a])


def _parts(Q, model, s, a, gamma):
    r, s2, terminated = model.predict(s, a)
    return r, Q[s2], gamma, terminated


class PriorityQueue:
    """A list that is kept sorted, the most urgent pair last."""

    def __init__(self):
        self.waiting = []

    def __len__(self):
        return len(self.waiting)

    def push_(self, s, a, priority):
        old = [p for p, pair in self.waiting if pair == (s, a)]
        self.waiting = [one for one in self.waiting if one[1] != (s, a)]
        self.waiting.append((max([priority, *old]), (s, a)))
        self.waiting.sort(key=lambda one: one[0])

    def pop_(self):
        must(self.waiting)
        return self.waiting.pop()[1]


def priority(Q, model, s, a, gamma):
    must(0 <= gamma <= 1)
    return float(abs(q_target(*_parts(Q, model, s, a, gamma)) - Q[s, a]))


def sweep_(Q, model, queue, n, alpha, gamma, theta):
    must(n >= 0, 0 < alpha <= 1, 0 <= gamma <= 1, theta >= 0)
    if n == 0 or len(queue) == 0:
        return 0
    s, a = queue.pop_()
    q_update_(Q, s, a, *model.predict(s, a), alpha, gamma)
    offer_(Q, model, queue, model.sources(s), gamma, theta)
    return 1 + sweep_(Q, model, queue, n - 1, alpha, gamma, theta)


def offer_(Q, model, queue, pairs, gamma, theta):
    for pair in pairs:
        if (p := priority(Q, model, *pair, gamma)) > theta:
            queue.push_(*pair, p)


def dyna(env, shape, episodes, n, alpha, gamma, epsilon, rng, seed, theta=None):
    must(episodes >= 1, n >= 0, 0 < alpha <= 1, 0 <= gamma <= 1, 0 <= epsilon <= 1)
    Q, model, queue = np.zeros(shape), TabularModel(), PriorityQueue()

    def learn_(s, a, r, s2, terminated):
        model.learn_(s, a, r, s2, terminated)
        if theta is None:
            q_update_(Q, s, a, r, s2, terminated, alpha, gamma)
            return plan_(Q, model, n, alpha, gamma, rng)
        offer_(Q, model, queue, [(s, a)], gamma, theta)
        sweep_(Q, model, queue, n, alpha, gamma, theta)

    def play(seed):
        s, steps, over = env.reset(seed=seed)[0], 0, False
        while not over:
            a = epsilon_greedy(Q[s], epsilon, rng)
            s2, r, terminated, truncated, _ = env.step(a)
            learn_(s, a, r, s2, terminated)
            s, steps, over = s2, steps + 1, terminated or truncated
        return steps

    return DynaResult(Q, np.array([play(one) for one in [seed] + [None] * (episodes - 1)]))


def fit_normaliser(data):
    centred = data - data.mean(0)
    scale = np.sqrt(np.einsum("nd,nd->d", centred, centred) / len(data))
    scale[(data == data[0]).all(axis=0)] = 1.0
    return Normaliser(data.mean(0), scale)


def normalise(normaliser, x):
    return x * (1 / normaliser.scale) - normaliser.mean / normaliser.scale


def denormalise(normaliser, z):
    return normaliser.scale * (z + normaliser.mean / normaliser.scale)


def holdout(data, n_test, rng):
    must(0 < n_test < len(data.states))
    order = np.argsort(rng.random(len(data.states)))
    test, train = np.split(order, [n_test])
    return Transitions(*(x[train] for x in data)), Transitions(*(x[test] for x in data))


def bootstrap(n, members, rng):
    must(n >= 1, members >= 1)
    return np.floor(rng.random((members, n)) * n).astype(int)


def minibatches(rows, size, rng):
    must(size >= 1)
    order = rng.random(rows.shape).argsort(axis=1)
    shuffled = np.take_along_axis(rows, order, axis=1)
    return np.split(shuffled, range(size, rows.shape[1], size), axis=1)


def ensemble_loss(prediction, target):
    must(prediction.shape == target.shape)
    gap = prediction.flatten(1) - target.flatten(1)
    return torch.einsum("mk,mk->", gap, gap) / gap.shape[1]


class Dynamics:
    def step(self, states, actions):
        x = np.empty((*states.shape[:2], states.shape[2] + actions.shape[1]))
        x[..., : states.shape[2]], x[..., states.shape[2] :] = states, actions
        out = self.net(torch.as_tensor(normalise(self.inputs, x)))
        return denormalise(self.deltas, out.detach().numpy()) + states


def one_step_errors(dynamics, members, data):
    told = np.broadcast_to(data.states, (members, *data.states.shape))
    return np.square(dynamics.step(told, data.actions) - data.next_states).reshape(members, -1).mean(1)


def fit_dynamics(train, test, settings, rng):
    must(settings.epochs >= 1)
    x, y = np.c_[train.states, train.actions], train.next_states - train.states
    model = Dynamics(
        EnsembleNet(settings.members, (x.shape[1],) + tuple(settings.hidden) + (y.shape[1],), rng),
        fit_normaliser(x),
        fit_normaliser(y),
    )
    rows = bootstrap(len(x), settings.members, rng)
    # What each member sees, laid out once: (M, n, D).
    seen = torch.as_tensor(normalise(model.inputs, x)[rows])
    goal = torch.as_tensor(normalise(model.deltas, y)[rows])
    places = np.tile(np.arange(len(x)), (settings.members, 1))
    which = torch.arange(settings.members)[:, None]
    adam = torch.optim.Adam(model.net.parameters(), lr=settings.rate)
    errors = np.full((settings.epochs, settings.members), np.nan)
    for k in range(settings.epochs):
        for piece in map(torch.as_tensor, minibatches(places, settings.batch_size, rng)):
            loss = ensemble_loss(model.net(seen[which, piece]), goal[which, piece])
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
        errors[k] = one_step_errors(model, settings.members, test)
    return Fit(model, errors)


def elites(candidates, scores, k):
    must(1 <= k <= len(candidates))
    return candidates[np.argpartition(scores, len(scores) - k)[len(scores) - k :]]


def refit(old, best, smoothing, min_std=0.0):
    fresh = np.stack([best.mean(0), best.std(0)])
    mean, std = fresh + smoothing * (np.stack([old.mean, old.std]) - fresh)
    return Gaussian(mean, std.clip(min=min_std))


def cem(score, start, low, high, settings, rng):
    must(settings.iterations >= 1, 1 <= settings.elites <= settings.population, 0 <= settings.smoothing < 1)
    present = start
    for _ in range(settings.iterations):
        drawn = rng.normal(present.mean, present.std, (settings.population, *np.shape(present.mean)))
        drawn = drawn.clip(low, high)
        present = refit(present, elites(drawn, score(drawn), settings.elites), settings.smoothing, settings.min_std)
    return present


def imagine(step, problem, state, plans, members):
    states, paid, ended = [np.zeros((members, len(plans), len(state))) + state], [], []
    for actions in np.swapaxes(plans, 0, 1):
        states.append(step(states[-1], actions))
        paid.append(problem.reward(states[-2], actions, states[-1]))
        ended.append(problem.terminal(states[-1]))
    before = np.cumsum([np.zeros_like(ended[0]), *ended[:-1]], axis=0) > 0
    paid = np.where(before, 0.0, paid)
    return np.einsum("h,hmp->mp", problem.gamma ** np.arange(len(paid)), paid)


def score_of(step, problem, state, members, plans):
    return imagine(step, problem, state, plans, members).mean(0)


def mpc_action(step, problem, members, state, plan, settings, rng):
    half = 0.5 * (problem.high - problem.low)
    start = Gaussian(plan, np.ones_like(plan) * half / 2)
    score = partial(score_of, step, problem, state, members)
    mean, _ = cem(score, start, problem.low, problem.high, settings, rng)
    return Decision(mean[0], np.vstack([mean[1:], problem.low + half]))


def learn_by_planning(env, problem, episodes, horizon, fit, search, rng, seed):
    must(episodes >= 2, horizon >= 1)
    story, returns = [], np.zeros(episodes)

    def data():
        return Transitions(*(np.stack(column).astype(float) for column in zip(*story, strict=True)))

    def play(state, choose):
        while True:
            action = choose(np.asarray(state, dtype=np.float64)).astype(np.float32)
            after, reward, terminated, truncated, _ = env.step(action)
            story.append((state, action, after))
            yield reward
            if terminated or truncated:
                return
            state = after

    state, _ = env.reset(seed=seed)
    returns[0] = sum(play(state, lambda _: problem.low + rng.random(len(problem.low)) * (problem.high - problem.low)))
    for episode in range(1, episodes):
        known = data()
        model = fit_dynamics(*holdout(known, max(1, len(known.states) // 10), rng), fit, rng).dynamics
        plans = [np.broadcast_to((problem.low + problem.high) / 2, (horizon, len(problem.low)))]

        def choose(state, model=model, plans=plans):
            decision = mpc_action(model.step, problem, fit.members, state, plans[-1], search, rng)
            plans.append(decision.plan)
            return decision.action

        state, _ = env.reset()
        returns[episode] = sum(play(state, choose))
    return Learned(model, returns, data())


def open_loop_errors(step, states, actions, horizon, members):
    must(1 <= horizon <= len(actions))
    starts = np.arange(len(actions) - horizon + 1)
    stories = [np.broadcast_to(states[starts], (members, len(starts), states.shape[1]))]
    for k in range(horizon):
        stories.append(step(stories[-1], actions[starts + k]))
    gaps = [story - states[starts + k] for k, story in enumerate(stories)]
    return np.sqrt(np.square(gaps[1:]).sum(-1)).mean((1, 2))


def growth_bound(step_error, lipschitz, horizon):
    must(horizon >= 1, step_error >= 0, lipschitz >= 0)
    k = np.arange(1.0, horizon + 1)
    if abs(lipschitz - 1) < 1e-9:
        return step_error * k
    return step_error * (lipschitz**k - 1) / (lipschitz - 1)


def return_bound(step_error, lipschitz, reward_lipschitz, gamma, horizon, value_error):
    must(0 <= gamma <= 1)
    e = np.append(0.0, growth_bound(step_error, lipschitz, horizon))[:horizon]
    discounts = gamma ** np.arange(horizon + 1)
    return float(np.dot(np.append(reward_lipschitz * e, value_error), discounts))
