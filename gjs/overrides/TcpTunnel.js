// SPDX-License-Identifier: LGPL-2.1-or-later
// What GJS loads with TcpTunnel: a string for an enum throws. GJS converts it as JavaScript does, so that
// mode: 'multiplexed' would silently be the mode whose number is 0.

/* exported _init */

function _init() {
    const TcpTunnel = this;
    const {GObject} = imports.gi;

    function check(name, value) {
        if (typeof value === 'string') {
            throw new TypeError(`the property ${name} is an enum: '${value}' is no number, ` +
                'such as TcpTunnel.TunnelMode.MULTIPLEXED');
        }
    }

    // GJS takes a property under each of these names.
    function spellings(name) {
        return [name, name.replace(/-/g, '_'), name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())];
    }

    function enums(type) {
        return type.list_properties().filter(spec => GObject.type_is_a(spec.value_type, GObject.TYPE_ENUM)).map(spec => spec.name);
    }

    function checkSetters(type, names) {
        for (const name of names.flatMap(spellings)) {
            const descriptor = Object.getOwnPropertyDescriptor(type.prototype, name);

            if (descriptor?.set) {
                Object.defineProperty(type.prototype, name, {
                    ...descriptor,
                    set(value) {
                        check(name, value);
                        descriptor.set.call(this, value);
                    },
                });
            }
        }
    }

    function checkConstructor(type, names) {
        const init = type.prototype._init;

        type.prototype._init = function (properties, ...rest) {
            for (const name of names.flatMap(spellings))
                check(name, properties?.[name]);
            return init.call(this, properties, ...rest);
        };
    }

    checkSetters(TcpTunnel.Endpoint, enums(TcpTunnel.Endpoint));
    for (const type of [TcpTunnel.Tunnel, TcpTunnel.ReverseTunnel, TcpTunnel.Gateway, TcpTunnel.Forward]) {
        checkSetters(type, enums(type));
        checkConstructor(type, enums(type));
    }
}
